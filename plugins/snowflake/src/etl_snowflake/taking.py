"""What becomes of a Write: rows go into a channel or a COPY to come, markers are carried out at once."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pyarrow as pa
from attrs import frozen

from etl_core import Mode, Rejected, SchemaError, Step, Write
from etl_snowflake import control, shaping, snapshots
from etl_snowflake.account import Account
from etl_snowflake.gathering import Load
from etl_snowflake.landing import Landing
from etl_snowflake.lanes import Lane
from etl_snowflake.refusing import accept
from etl_snowflake.streaming import Channel

__all__ = ["Taking"]


@frozen
class Taking:
    """Takes the Writes of an open destination, each with the lane of its stream."""

    account: Account
    landing: Landing

    def take(self, lane: Lane, write: Write) -> Sequence[Rejected] | None:
        """Take a unit of work; return the rows that Snowflake cannot keep."""
        if write.step is Step.BEGIN:
            self._begin(lane, write)
            return None
        if write.step is None:
            self.landing.catch_up(lane)
        if write.seq is not None:
            lane.came(write.seq.hex())
        if write.rows is not None:
            return self._rows(lane, write, shaping.decoded(write.rows))
        if lane.is_new(write.seq):
            self._end(lane, write) if write.step is Step.END else self._truncate(lane, write)
        elif write.step is Step.END:
            lane.ended_before()
        return None

    def _begin(self, lane: Lane, write: Write) -> None:
        """Discard what is unfinished; the mark and the table's schema go back to before the snapshot."""
        account = self.account
        if lane.has_streamed():
            self.landing.catch_up(lane)  # all that was streamed is in, and nobody else streams any more
        self.landing.settle(lane)  # what was there before is seen until the end
        with account.lock:
            self.landing.confirm()
            lane.is_new(write.seq)
            if write.seq and lane.kept.seq and lane.kept.seq > write.seq.hex():
                lane.kept = attrs.evolve(lane.kept, seq=write.seq.hex())
                with control.transaction(*account.identity):
                    control.reshape(account.session, account.names, account.pipeline, lane.kept)
            lane.begin(write.seq)
        self.landing.supersede(lane)

    def _end(self, lane: Lane, write: Write) -> None:
        self.landing.drain()
        with self.account.lock:
            lane.end(write.mode, write.seq)

    def _truncate(self, lane: Lane, write: Write) -> None:
        self.landing.drain()
        with self.account.lock:
            lane.truncate(write.seq)
        self.landing.supersede(lane)

    def _rows(self, lane: Lane, write: Write, rows: pa.Table) -> Sequence[Rejected]:
        """Take the rows above the mark; return those that Snowflake cannot keep."""
        # Also of rows that came before: what was refused then may not have been told.
        rows, refused = accept(write.stream, rows, lane.kept.key if write.mode is Mode.MERGE else ())
        new, seqs = lane.is_new(write.seq), shaping.seqs_of(rows)
        if seqs is not None and lane.mark is not None:
            self._replayed(lane, rows, seqs)
            rows, seqs = shaping.above(rows, seqs, lane.mark)
        if rows.num_rows and (new or seqs is not None):
            self._send(lane, write, rows)
        if write.seq is not None:
            lane.taken(write.seq.hex())
        return refused

    def _send(self, lane: Lane, write: Write, rows: pa.Table) -> None:
        mark = write.seq.hex() if write.seq else None
        if write.step is Step.ROWS:
            self._stage(lane, write.mode, rows, mark)
            return
        if lane.unsaved and not lane.ended:
            self.landing.saved(lane)
        seqs = shaping.seqs_of(rows)
        if lane.history:
            partial, shaped = None, shaping.whole(self.account.names, rows)
        elif seqs is None:
            raise SchemaError("rows without sequences cannot be merged", stream=str(write.stream))
        else:
            partial, shaped = shaping.is_partial(rows), shaping.landed(self.account.names, rows, seqs)
        if (
            lane.channel is None
            or lane.pending
            or seqs is None
            or partial
            or not self._is_small(lane.channel, shaped)
        ):
            self.landing.load(Load(lane, lane.landing, shaped, mark, partial))
        else:
            self.landing.stream(lane, rows, shaped, seqs)

    def _stage(self, lane: Lane, mode: Mode, rows: pa.Table, mark: str | None) -> None:
        """Have rows of a snapshot copied into its staging table, in a mirror with numbers."""
        names, numbered = self.account.names, mode is not Mode.APPEND
        with self.account.lock:
            start = lane.next_number() if numbered else 0
            lane.staged = start + rows.num_rows
            table = snapshots.staging(names, lane.kept)
        shaped = shaping.staged(names, lane.kept, rows, start, numbered=numbered)
        self.landing.load(Load(lane, table, shaped, mark))

    def _is_small(self, channel: Channel, rows: pa.Table) -> bool:
        return bool(rows.nbytes < self.account.config.bulk_bytes) and channel.takes(rows)

    def _replayed(self, lane: Lane, rows: pa.Table, seqs: pa.ChunkedArray) -> None:
        """Have rows that were streamed before this life looked for, where they are not merged."""
        if lane.channel is None or not lane.channel.opened.errors:
            return
        rows, seqs = shaping.above(rows, seqs, "" if lane.history else lane.kept.merged or "")
        again, numbers = shaping.below(rows, seqs, lane.channel.opened.committed or "")
        self.landing.replayed(lane, again, numbers)
