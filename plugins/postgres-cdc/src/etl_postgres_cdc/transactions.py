"""Changes of transactions become batches of rows: order, ordinals, cuts, schema changes."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator

import attrs

from etl_core import Batch, FatalError, Kind, Stream, pack_seq
from etl_postgres_cdc.copying import MAX_BYTES, MAX_ROWS
from etl_postgres_cdc.decoder import EPOCH, Rows
from etl_postgres_cdc.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Truncate,
    Update,
)
from etl_postgres_cdc.position import Cut
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.targets import Target, Targets

__all__ = ["Transactions"]


class Transactions:
    """Takes messages in order and yields batches; between transactions its position is `progress`.

    A change that is not delivered (another table's, one that a snapshot includes, one that a resume
    skips) still counts: ordinals are the server's.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._progress = session.progress
        self._targets = Targets(session)
        self._rows: dict[Stream, Rows] = {}
        self._begin: Begin | None = None
        self._ordinal = 0
        self._timestamp = 0
        self._count = 0
        self._bytes = 0
        self._unpositioned = False
        #: The position's LSN when it was last handed out.
        self.delivered = 0

    @property
    def open(self) -> bool:
        """Whether a transaction is under way."""
        return self._begin is not None

    def age(self) -> float:
        """Return how many seconds ago the last transaction that was read committed."""
        return max(0.0, time.time() - (self._timestamp + EPOCH) / 1_000_000)

    @property
    def unknown(self) -> bool:
        """Whether there were changes of a table that is wanted and not known."""
        return bool(self._targets.unknown)

    @property
    def waiting(self) -> bool:
        """Whether something was taken that no position covers yet."""
        return self._count > 0 or self._unpositioned

    def take(self, message: Message, size: int) -> Iterable[Batch]:
        """Take one message of about `size` bytes; yield what is ready."""
        if isinstance(message, Insert | Update | Delete):
            return self._change(message, size)
        if isinstance(message, Begin):
            self._begin, self._ordinal = message, 0
        elif isinstance(message, Commit):
            return self._commit(message)
        elif isinstance(message, Relation):
            self._targets.announce(self._begin, message)
        elif isinstance(message, Truncate):
            return self._truncate(message)
        return ()

    def forget_targets(self) -> None:
        """Look at every relation again: a snapshot was taken, or a table joined."""
        self._targets.forget()

    def flush(self) -> Iterator[Batch]:
        """Yield what is gathered, with a position on the last batch; between transactions a bare position."""
        if self._count or self._begin:
            yield from self._flush(self._ordinal)
        else:
            self._unpositioned = False
            self.delivered = self._progress.lsn
            yield Batch.progress(self._progress.value())

    def _flush(self, ordinal: int) -> Iterator[Batch]:
        cut = self._cut(ordinal)
        batches = list(self._finish(list(self._rows)))
        if batches:
            yield from batches[:-1]
            self._unpositioned = False
            self.delivered = self._progress.lsn
            yield attrs.evolve(batches[-1], position=self._progress.value(cut), complete=cut is None)

    def _cut(self, ordinal: int) -> Cut | None:
        """Return the place after so many rows of the open transaction; None between transactions."""
        return Cut(self._begin.lsn, ordinal) if self._begin and ordinal else self._progress.cut

    def _commit(self, commit: Commit) -> Iterable[Batch]:
        self._begin = None
        self._timestamp = commit.timestamp
        self._progress.lsn = commit.end
        self._progress.cut = None
        if self._count >= MAX_ROWS // 2 or self._bytes >= MAX_BYTES // 2:
            return self.flush()
        return ()

    def _next(self) -> Begin | None:
        """Count a change; return its transaction, or None when it was delivered before."""
        begin, cut = self._begin, self._progress.cut
        if begin is None:
            raise FatalError("the server sent a change outside of a transaction")
        self._ordinal += 1
        if cut is None:
            return begin
        if begin.lsn != cut.lsn:
            raise self._session.lost(
                "the transaction to resume in was not sent again", "etl-core state reset copies all again"
            )
        if self._ordinal <= cut.ordinal:
            return None
        self._progress.cut = None
        return begin

    def _change(self, change: Insert | Update | Delete, size: int) -> Iterable[Batch]:
        begin = self._next()
        if begin is None:
            return ()
        target = self._targets.get(change.relation)
        if target is None:
            return self._first(begin, change, size)
        return self._add(begin, change, size, target)

    def _first(self, begin: Begin, change: Insert | Update | Delete, size: int) -> Iterator[Batch]:
        target = yield from self._resolve(begin, change.relation)
        yield from self._add(begin, change, size, target)

    def _add(
        self, begin: Begin, change: Insert | Update | Delete, size: int, target: Target
    ) -> Iterable[Batch]:
        if target.layout is None or begin.lsn < target.snapshot:
            return ()
        rows = self._rows.get(target.stream)
        if rows is None:
            rows = self._rows[target.stream] = Rows(target.layout)
        rows.change(change, self._seq(begin, self._ordinal << 1), begin.timestamp, size)
        self._count += 1
        self._bytes += size
        if self._count >= MAX_ROWS or self._bytes >= MAX_BYTES:
            return self.flush()
        return ()

    def _truncate(self, truncate: Truncate) -> Iterator[Batch]:
        begin = self._next()
        if begin is None:
            return
        targets = []
        for relation in truncate.relations:
            known = self._targets.get(relation)
            targets.append(known or (yield from self._resolve(begin, relation)))
        for target in targets:
            if target.layout is not None and begin.lsn >= target.snapshot:
                yield from self._finish([target.stream])
                yield Batch(Kind.TRUNCATE, target.stream, seq=self._seq(begin, self._ordinal << 1))
                self._unpositioned = True

    def _finish(self, streams: Iterable[Stream]) -> Iterator[Batch]:
        for stream in streams:
            rows = self._rows.pop(stream, None)
            if rows:
                with self._session.ctx.measure("encode"):
                    batch = rows.finish()
                self._count -= len(rows)
                self._bytes -= rows.size
                self._unpositioned = True
                yield Batch.of(stream, batch)

    def _seq(self, begin: Begin, ordinal: int) -> bytes:
        return pack_seq(self._session.ctx.epoch, begin.lsn, ordinal)

    def _resolve(self, begin: Begin, relation: int) -> Generator[Batch, None, Target]:
        """Find where a relation's changes go; yield its schema change, if it has one here.

        The position of a schema change lies just before it: all that was gathered goes out first.
        """
        target = self._targets.resolve(begin, relation)
        if target.changes and target.layout:
            before = self._ordinal - 1
            yield from self._flush(before)
            yield Batch(
                Kind.SCHEMA,
                target.stream,
                schema=target.layout.schema,
                key=target.layout.key_names,
                changes=target.changes,
                seq=self._seq(begin, (self._ordinal << 1) - 1),
                position=self._progress.value(self._cut(before)),
                complete=not before,
            )
        if target.state:
            yield from self._finish([target.stream])
            self._progress.set(target.stream, target.state)
        return target
