"""Changes of transactions become batches of rows: order, cuts, schema changes, transactions in progress."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

import attrs

from etl_core import Batch, Kind, Stream, pack_seq
from etl_postgres_cdc.channel import unreadable
from etl_postgres_cdc.decoding import decoder, new_rows
from etl_postgres_cdc.events import Event, Happening, Rows
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import Begin, Relation, StreamAbort, StreamCommit, Truncate, parse
from etl_postgres_cdc.position import Cut
from etl_postgres_cdc.rows import EPOCH
from etl_postgres_cdc.session import Session
from etl_postgres_cdc.spooling import Spools, packed
from etl_postgres_cdc.targets import Target, Targets

__all__ = ["Transactions"]


class Transactions:
    """Decides what the decoder cannot; between transactions its position is `progress`.

    A change that is not delivered (another table's, one that a snapshot includes, one that a resume
    skips) still counts: ordinals are the server's.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._progress = session.progress
        self._targets = Targets(session)
        self._rows: dict[Stream, Rows] = {}
        self._spools = Spools(session.ctx.spill)
        self._unpositioned = False
        self.decoder = decoder(session.ctx.epoch)
        if self._progress.cut:
            self.decoder.skip(self._progress.cut.lsn, self._progress.cut.ordinal)
        #: The position's LSN when it was last handed out.
        self.delivered = 0

    @property
    def open(self) -> bool:
        """Whether a transaction is under way."""
        return self.decoder.open

    @property
    def unknown(self) -> bool:
        """Whether there were changes of a table that is wanted and not known."""
        return bool(self._targets.unknown)

    @property
    def waiting(self) -> bool:
        """Whether something was taken that no position covers yet."""
        return self.decoder.rows > 0 or self._unpositioned

    def take(self, happening: Happening) -> Iterator[Batch]:
        """Settle what stopped the decoder; yield what is ready."""
        event, number, data, _ = happening
        self._follow()
        if event == Event.UNKNOWN:
            yield from self._route(number)
        elif event == Event.FULL or (event == Event.COMMITTED and self.decoder.much):
            yield from self.flush()
        elif event == Event.SPOOL and data:
            self._spools.add(number, data, self._targets.arrival())
        elif event == Event.MESSAGE and data:
            yield from self._message(data)
        elif event == Event.PARTIAL:
            self._targets.incomplete(number)
            self.decoder.route(number, None, 0, 0)
        elif event == Event.ASTRAY or (event == Event.KEEPALIVE and self._passed(number)):
            raise self._session.lost(
                "the transaction to resume in was not sent again", "etl-core state reset copies all again"
            )

    def forget_targets(self) -> None:
        """Look at every relation again: a snapshot was taken, or a table joined."""
        self._targets.forget()
        self.decoder.forget()

    def flush(self) -> Iterator[Batch]:
        """Yield what is gathered, with a position on the last batch; between transactions a bare position."""
        if self.decoder.rows or self.decoder.open:
            yield from self._flush(self.decoder.ordinal)
        else:
            self._unpositioned = False
            self.delivered = self._progress.lsn
            yield Batch.progress(self._progress.value())

    def close(self) -> None:
        """Give up what was kept of transactions in progress."""
        self._spools.close()

    def _follow(self) -> None:
        """Bring the position to where the decoder is."""
        end = self.decoder.ended()
        if end:
            self._progress.lsn = end
            self._progress.as_of = self.decoder.timestamp
        if self._progress.cut and not self.decoder.skipping:
            self._progress.cut = None

    def _passed(self, end: int) -> bool:
        """Whether the server is beyond the transaction to resume in, and it has not come."""
        cut = self._progress.cut
        return self.decoder.skipping and not self.decoder.open and cut is not None and end > cut.lsn

    def _message(self, data: bytes) -> Iterator[Batch]:
        message = parse(data)
        if isinstance(message, Relation):
            self._targets.announce(message)
        elif isinstance(message, Truncate):
            yield from self._truncate(message)
        elif isinstance(message, StreamAbort):
            self._spools.abort(message.xid, message.subxid)
        elif isinstance(message, StreamCommit):
            yield from self._replay(message)

    def _replay(self, commit: StreamCommit) -> Iterator[Batch]:
        """Take a transaction that was kept while it was in progress."""
        spool = self._spools.take(commit.xid)
        time = commit.timestamp + EPOCH
        try:
            self.decoder.begin(commit.lsn, time, commit.xid, packed(spool.aborted))
            for data, serial in spool.read():
                self._targets.replaying = serial
                yield from self._again(data)
            self.decoder.commit(commit.end, time)
        except ValueError:
            raise unreadable("reading a transaction that was in progress") from None
        finally:
            spool.close()
        self._follow()
        if self._targets.settle():
            self.decoder.forget()
        if self.decoder.much:
            yield from self.flush()

    def _again(self, data: bytes) -> Iterator[Batch]:
        self.decoder.feed(data)
        while happening := self.decoder.run():
            yield from self.take(happening)

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
        if self.decoder.open and ordinal:
            return Cut(self.decoder.lsn, ordinal)
        return self._progress.cut

    def _begin(self) -> Begin:
        return Begin(self.decoder.lsn, 0, self.decoder.xid)

    def _route(self, relation: int) -> Iterator[Batch]:
        """Say where the changes of a relation go, from the next one on."""
        begin = self._begin()
        target = self._targets.get(relation)
        if target is None:
            target = yield from self._resolve(begin, relation, self.decoder.ordinal + 1)
        only = begin.lsn if target.passing else 0
        rows = (yield from self._table(target.stream, target.layout)) if target.layout else None
        self.decoder.route(relation, rows, target.snapshot, only)

    def _table(self, stream: Stream, layout: Layout) -> Generator[Batch, None, Rows]:
        """Return where a stream's rows gather; those of another layout go out first."""
        rows = self._rows.get(stream)
        if rows is None or rows.layout != layout:
            yield from self._finish([stream])
            rows = self._rows[stream] = new_rows(layout)
        return rows

    def _truncate(self, truncate: Truncate) -> Iterator[Batch]:
        begin, ordinal = self._begin(), self.decoder.ordinal
        targets = []
        for relation in truncate.relations:
            known = self._targets.get(relation)
            targets.append(known or (yield from self._resolve(begin, relation, ordinal)))
        for target in targets:
            if target.layout is not None and begin.lsn >= target.snapshot:
                yield from self._finish([target.stream])
                yield Batch(Kind.TRUNCATE, target.stream, seq=self._seq(begin, ordinal << 1))
                self._unpositioned = True

    def _finish(self, streams: Iterable[Stream]) -> Iterator[Batch]:
        for stream in streams:
            rows = self._rows.get(stream)
            if rows:
                count, size = len(rows), rows.size
                with self._session.ctx.measure("encode"):
                    batch = rows.finish()
                self.decoder.release(count, size)
                self._unpositioned = True
                yield Batch.of(stream, batch)

    def _seq(self, begin: Begin, ordinal: int) -> bytes:
        return pack_seq(self._session.ctx.epoch, begin.lsn, ordinal)

    def _resolve(self, begin: Begin, relation: int, ordinal: int) -> Generator[Batch, None, Target]:
        """Find where a relation's changes go; yield its schema change, if it has one at this change.

        The position of a schema change lies just before it: all that was gathered goes out first.
        """
        target = self._targets.resolve(begin, relation)
        before = ordinal - 1
        if target.changes and target.layout:
            yield from self._flush(before)
            yield Batch(
                Kind.SCHEMA,
                target.stream,
                schema=target.layout.schema,
                key=target.layout.key_names,
                changes=target.changes,
                seq=self._seq(begin, (ordinal << 1) - 1),
                position=self._progress.value(self._cut(before)),
                complete=not before,
            )
        if target.state:
            yield from self._finish([target.stream])
            self._progress.set(target.stream, target.state)
        return target
