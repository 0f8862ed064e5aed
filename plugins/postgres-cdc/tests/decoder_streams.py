"""Streams of changes as servers send them, made up: transactions whole and in progress, of many tables."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

from attrs import define, field, frozen
from decoder_driver import Plan
from decoder_layouts import COLUMNS, LAYOUTS, value_of
from hypothesis import strategies as st
from wire_messages import encode, frame, in_progress, keepalive, notice, wal

from etl_postgres_cdc.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Logical,
    Message,
    Origin,
    Relation,
    RelationColumn,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
    Values,
)

__all__ = ["PLANS", "RELATIONS", "Stream", "chunks_of", "ended", "stream", "streams"]

FIRST_LSN = 0x1_0000_0000
DAY = 86_400_000_000
#: Relation numbers that meet in a hash table of 64 and of 128 places, and the largest.
RELATIONS = (16384, 16385, 16448, 16512, 2**32 - 1, 1)


@frozen
class Stream:
    """Frames of the wire in order; `lsns` are those of its commits."""

    frames: tuple[bytes, ...]
    lsns: tuple[int, ...]

    @property
    def data(self) -> bytes:
        return b"".join(self.frames)


@define
class Writer:
    """Writes frames; knows which table is behind each relation, and what was announced."""

    random: Random
    misfits: float
    frames: list[bytes] = field(factory=list)
    lsns: list[int] = field(factory=list)
    tables: dict[int, str] = field(factory=dict)
    #: By transaction in progress (0: all others), as it is not known which of them will commit.
    announced: dict[int, set[int]] = field(factory=lambda: defaultdict(set))
    lsn: int = FIRST_LSN

    def commit_lsn(self) -> int:
        self.lsn += self.random.randrange(8, 1 << 20)
        self.lsns.append(self.lsn)
        return self.lsn

    def time(self) -> int:
        return self.random.randrange(-DAY, 10_000 * DAY)

    def between(self) -> None:
        """What may come between any two messages."""
        if self.random.random() < 0.05:
            self.frames.append(self.random.choice([notice(), keepalive(self.lsn), keepalive(1, answer=True)]))

    def put(self, payload: bytes) -> None:
        self.between()
        self.frames.append(wal(payload, self.lsn))

    def transaction(self, changes: int) -> None:
        lsn = self.commit_lsn()
        self.put(encode(Begin(lsn, self.time(), self.random.randrange(2**32))))
        for change in self.changes(changes, 0):
            self.put(encode(change))
        self.put(encode(Commit(lsn, lsn + 48, self.time())))

    def block(self, xid: int, changes: int, first: bool) -> None:
        """Changes of a transaction in progress, some of them of sub-transactions."""
        self.put(encode(StreamStart(xid, first)))
        for change in self.changes(changes, xid):
            self.put(in_progress(xid + self.random.choice([0, 0, 1, 2]), change))
        self.put(encode(StreamStop()))

    def end(self, xid: int, *, aborted: bool) -> None:
        self.announced[xid].clear()
        if aborted:
            self.put(encode(StreamAbort(xid, xid)))
            return
        for subxid in (xid + 1, xid + 2)[: self.random.randrange(3)]:
            self.put(encode(StreamAbort(xid, subxid)))
        lsn = self.commit_lsn()
        self.put(encode(StreamCommit(xid, lsn, lsn + 48, self.time())))

    def changes(self, count: int, xid: int) -> list[Message]:
        """Return so many messages, and announcements of the relations that they are of."""
        messages: list[Message] = []
        for kind in self.random.choices(KINDS, k=count):
            relation = self.random.choice(RELATIONS)
            if relation not in self.announced[xid] or kind == "R":
                self.announced[xid].add(relation)
                messages.append(self.announce(relation))
            if kind != "R":
                messages.append(self.change(kind, relation))
        return messages

    def announce(self, relation: int) -> Message:
        name = self.tables.setdefault(relation, self.random.choice(list(LAYOUTS)))
        columns = [
            RelationColumn(True, column, kind.oid, kind.typmod)
            for column, kind in zip(LAYOUTS[name].names, LAYOUTS[name].types, strict=True)
        ]
        return Relation(relation, "public", name, "d", tuple(columns))

    def change(self, kind: str, relation: int) -> Message:
        name = self.tables[relation]
        match kind:
            case "I":
                return Insert(relation, self.row(name))
            case "P":  # an update that moved a row into a filter
                return Insert(relation, self.row(name, unchanged=0.2))
            case "U":
                return self.update(relation, name)
            case "D":
                full = self.random.random() < 0.5
                return Delete(relation, self.row(name) if full else self.key(name), full)
            case "T":
                return Truncate((relation,), 1)
            case "Y":
                return Type(900_001, "public", "mood")
            case "O":
                return Origin(5, self.random.choice(["o", "another server"]))
        return Logical(5, "prefix", self.random.randbytes(5))

    def update(self, relation: int, name: str) -> Message:
        new = self.row(name, unchanged=0.3)
        identity = self.random.choice("-KKOO")
        if identity == "-":
            return Update(relation, None, False, new)
        old = self.row(name) if identity == "O" else self.key(name)
        if self.random.random() < 0.5:  # the key stays
            for index in LAYOUTS[name].key:
                old[index] = new[index] if self.random.random() < 0.7 else old[index]
        return Update(relation, old, identity == "O", new)

    def row(self, name: str, unchanged: float = 0.0) -> Values:
        nulls = self.random.choice([0.0, 0.2, 0.9])
        return [self.value(column, nulls, unchanged) for column in COLUMNS[name]]

    def value(self, column: str, nulls: float, unchanged: float) -> Any:
        if self.random.random() < unchanged:
            return UNCHANGED
        if self.random.random() < nulls:
            return None
        return value_of(column, self.random, self.misfits)

    def key(self, name: str) -> Values:
        row = self.row(name)
        return [value if index in LAYOUTS[name].key else None for index, value in enumerate(row)]


KINDS = "IIIIIIIIUUUUUUUUDDDDTTRRYOMP"
#: Transactions whole, and blocks and ends of three others that are in progress at the same time.
STEPS = ["whole"] * 4 + ["block"] * 4 + ["committed", "committed", "aborted"]


def stream(seed: int, steps: int, misfits: float = 0.0) -> Stream:
    """Transactions of both sorts, interleaved as servers do."""
    random = Random(seed)
    writer = Writer(random, misfits)
    begun: set[int] = set()
    for _ in range(steps):
        step, xid = random.choice(STEPS), random.choice([700, 710, 720])
        if step == "whole":
            writer.transaction(random.randrange(10))
        elif step == "block":
            writer.block(xid, random.randrange(10), xid not in begun)
            begun.add(xid)
        elif xid in begun:
            writer.end(xid, aborted=step == "aborted")
            begun.discard(xid)
    return Stream(tuple(writer.frames), tuple(writer.lsns))


def streams(misfits: float = 0.0) -> st.SearchStrategy[Stream]:
    return st.builds(stream, st.integers(0, 2**32), st.integers(1, 12), st.just(misfits))


def _plan(limits: tuple[int, int], due: float, numbers: list[set[int]], snapshot: int) -> Plan:
    nowhere, passing, copied = map(frozenset, numbers)
    return Plan(
        max_rows=limits[0],
        max_bytes=limits[1],
        due=due,
        nowhere=nowhere,
        passing=passing,
        snapshots=dict.fromkeys(copied, FIRST_LSN + snapshot),
    )


SOME = st.sets(st.sampled_from(RELATIONS), max_size=2)
PLANS = st.builds(
    _plan,
    st.sampled_from([(65536, 8 << 20), (3, 8 << 20), (1, 1), (65536, 200), (9, 1 << 20)]),
    st.sampled_from([0.0, 1e-3, 1e9, float("inf")]),
    st.tuples(SOME, SOME, SOME).map(list),
    st.integers(0, 1 << 21),
)


def chunks_of(data: bytes, size: int) -> list[bytes]:
    """Cut a stream into pieces of a size; 0: one piece."""
    return [data[at : at + size] for at in range(0, len(data), size)] if size else [data]


def ended(data: bytes) -> bytes:
    """A stream that the server ends."""
    return data + frame(b"c", b"")
