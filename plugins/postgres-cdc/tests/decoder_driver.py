"""Drives a decoder over a stream as a source does, and writes down all that comes of it."""

from __future__ import annotations

import resource
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from attrs import define, field, frozen
from decoder_layouts import LAYOUTS

from etl_core import FatalError, SchemaError
from etl_postgres_cdc import _wire
from etl_postgres_cdc.compiled import CompiledRows
from etl_postgres_cdc.events import Decoder, Event, Happening, Rows
from etl_postgres_cdc.pgoutput import Relation, StreamAbort, StreamCommit, parse
from etl_postgres_cdc.plain import PlainDecoder
from etl_postgres_cdc.rows import EPOCH
from etl_postgres_cdc.rows import Rows as PlainRows

__all__ = ["BOTH", "COMPILED", "PLAIN", "Kind", "Plan", "resident", "same_batches", "transcript"]


@frozen
class Kind:
    """One of the two decoders."""

    name: str
    decoder: Callable[[int, int, int], Any]
    rows: Callable[[Any], Any]


COMPILED = Kind("compiled", _wire.Decoder, CompiledRows)
PLAIN = Kind("plain", PlainDecoder, PlainRows)
BOTH = (COMPILED, PLAIN)


@frozen
class Plan:
    """How a stream is taken: limits, where to go on, and which relations are not taken as they come."""

    epoch: int = 1
    max_rows: int = 65536
    max_bytes: int = 8 << 20
    cut: tuple[int, int] | None = None
    due: float = 0.0
    nowhere: frozenset[int] = frozenset()
    #: Relations that are looked at anew in each transaction.
    passing: frozenset[int] = frozenset()
    snapshots: dict[int, int] = field(factory=dict)


class Stop(Exception):
    """Nothing more can be taken."""


@define
class Driver:
    """Answers a decoder's events; `seen` has the events, `batches` the rows."""

    kind: Kind
    plan: Plan
    seen: list[Any] = field(factory=list)
    batches: list[tuple[str, pa.RecordBatch]] = field(factory=list)
    decoder: Decoder = field(init=False)
    _names: dict[int, str] = field(factory=dict)
    _rows: dict[str, Rows] = field(factory=dict)
    _kept: dict[int, list[bytes]] = field(factory=dict)
    _aborted: dict[int, set[int]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        plan = self.plan
        self.decoder = self.kind.decoder(plan.epoch, plan.max_rows, plan.max_bytes)
        self.decoder.due = plan.due
        if plan.cut:
            self.decoder.skip(*plan.cut)

    def run(self, chunks: Iterable[bytes]) -> None:
        """Feed all and answer; errors end it and are written down."""
        try:
            for chunk in chunks:
                self.decoder.feed(chunk)
                self._drain()
            self._flush()
        except SchemaError as error:
            self._note("misfit", error.message, error.facts)
        except (ValueError, FatalError):
            self._note("refused")
        except Stop:
            self._note("stopped")

    def _drain(self) -> None:
        while happening := self.decoder.run():
            self._take(happening)

    def _note(self, *what: Any) -> None:
        self.seen.append((*what, *self._attributes()))

    def _attributes(self) -> Iterator[Any]:
        decoder = self.decoder
        yield from (decoder.open, decoder.lsn, decoder.xid, decoder.ordinal, decoder.timestamp, decoder.rows)
        yield from (decoder.size, decoder.skipping, decoder.much)

    def _take(self, happening: Happening) -> None:
        event, number, data, _ = happening
        self._note(*happening, self.decoder.ended())
        if event == Event.UNKNOWN:
            self._route(number)
        elif event == Event.FULL or (event == Event.COMMITTED and self.decoder.much):
            self._flush()
        elif event == Event.SPOOL and data:
            self._kept.setdefault(number, []).append(data)
        elif event == Event.MESSAGE and data:
            self._message(data)
        elif event == Event.PARTIAL:
            self.decoder.route(number, None, 0, 0)
        elif event in (Event.ASTRAY, Event.ENDED, Event.FAILED):
            raise Stop

    def _route(self, relation: int) -> None:
        plan, name = self.plan, self._names.get(relation)
        if name is None:
            raise Stop
        rows = None if relation in plan.nowhere else self._table(name)
        only = self.decoder.lsn if relation in plan.passing else 0
        self.decoder.route(relation, rows, plan.snapshots.get(relation, 0), only)

    def _table(self, name: str) -> Rows:
        if name not in self._rows:
            self._rows[name] = self.kind.rows(LAYOUTS[name])
        return self._rows[name]

    def _message(self, data: bytes) -> None:
        message = parse(data)
        if isinstance(message, Relation):
            if message.name not in LAYOUTS:
                raise Stop
            self._names[message.relation] = message.name
        elif isinstance(message, StreamAbort):
            self._abort(message.xid, message.subxid)
        elif isinstance(message, StreamCommit):
            self._replay(message)

    def _abort(self, xid: int, subxid: int) -> None:
        if xid == subxid:
            self._kept.pop(xid, None)
        else:
            self._aborted.setdefault(xid, set()).add(subxid)

    def _replay(self, commit: StreamCommit) -> None:
        pieces = self._kept.pop(commit.xid, [])
        aborted = array("I", sorted(self._aborted.pop(commit.xid, ()))).tobytes()
        time = commit.timestamp + EPOCH
        self.decoder.begin(commit.lsn, time, commit.xid, aborted)
        for piece in pieces:
            self.decoder.feed(piece)
            self._drain()
        self.decoder.commit(commit.end, time)
        self._note("replayed", self.decoder.ended())
        if self.decoder.much:
            self._flush()

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            count, size = len(rows), rows.size
            if count:
                self._note("rows", name, count, size)
                self.batches.append((name, rows.finish()))
                self.decoder.release(count, size)


def transcript(kind: Kind, plan: Plan, chunks: Iterable[bytes]) -> Driver:
    """Return what a decoder made of a stream."""
    driver = Driver(kind, plan)
    driver.run(chunks)
    for name, batch in driver.batches:
        batch.validate(full=True)
        assert batch.schema.equals(LAYOUTS[name].full, check_metadata=True)
    return driver


def same_batches(one: list[tuple[str, pa.RecordBatch]], other: list[tuple[str, pa.RecordBatch]]) -> bool:
    """Also of NaN and of zeros with their signs."""
    return [name for name, _ in one] == [name for name, _ in other] and all(
        _same(a, b) for (_, a), (_, b) in zip(one, other, strict=True)
    )


def _same(one: pa.RecordBatch, other: pa.RecordBatch) -> bool:
    if not one.schema.equals(other.schema, check_metadata=True) or one.num_rows != other.num_rows:
        return False
    return all(
        a.null_count == b.null_count and _same_values(a, b)
        for a, b in zip(one.columns, other.columns, strict=True)
    )


def _same_values(one: pa.Array, other: pa.Array) -> bool:
    if pa.types.is_floating(one.type):
        return [repr(value) for value in one.to_pylist()] == [repr(value) for value in other.to_pylist()]
    return bool(one.equals(other))


def resident() -> int:
    """Return the bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
