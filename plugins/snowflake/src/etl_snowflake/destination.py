"""The destination `snowflake`: each call goes to the module that knows, over one session and its lock.

Nothing is known but what `open` reads from the account: marks, windows, unfinished snapshots.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import ClassVar

import attrs
import pyarrow as pa

from etl_core import (
    Change,
    Context,
    Delivery,
    Destination,
    Mode,
    Position,
    Rejected,
    SchemaError,
    StateError,
    Step,
    Stream,
    TableSchema,
    Write,
)
from etl_snowflake import control, shaping, snapshots, tasks
from etl_snowflake.account import Account
from etl_snowflake.checking import check
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.encoding import unspeakable
from etl_snowflake.landing import Landing, Load
from etl_snowflake.lanes import Lane, Lanes
from etl_snowflake.names import Names
from etl_snowflake.refusing import accept
from etl_snowflake.types import stored

__all__ = ["SnowflakeDestination"]

#: After a cancel, what is on its way may take so many seconds until statements are interrupted.
_GRACE = 5.0


class SnowflakeDestination(Destination):
    """Exactly once in every mode, by a mark per stream: rows up to it are skipped, whatever their cuts.

    Rows without `_etl_seq` are at-least-once. `mark` and `durable` never wait: a thread of the run lands
    rows, asks what is committed, and merges every `merge_interval`. A history's snapshot that is begun again
    replaces what came of the run before, and after it, unless a position behind that run's end was saved.
    """

    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    stages: ClassVar[bool] = True

    def __init__(self, config: SnowflakeConfig) -> None:
        self._config = config
        self._names = Names(config.database, config.landing_schema, config.identifiers)
        self._account: Account | None = None

    def delivery(self, mode: Mode) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def check(self, ctx: Context) -> None:
        """Verify login, role, warehouse, database and privileges; say what mends them. Changes nothing."""
        check(self._config, self._names)

    def open(self, ctx: Context, fence: str) -> None:
        """Log in, make what is ours in the landing schema, take the fence, read marks."""
        self.close()
        account = Account(self._config, self._names, ctx, fence, Session(self._config))
        self._account, self._lanes = account, Lanes(account)
        self._landing = Landing(account, self._lanes)
        self._forget_cancel = ctx.on_cancel(self._cancelled)
        account.install()
        self._lanes.load()

    def fold(self, identifier: str) -> str:
        return self._names.fold(identifier)

    def stored(self, type: pa.DataType) -> pa.DataType:
        return stored(type)

    def table(self, stream: Stream) -> TableSchema | None:
        """Return the table in the account, also one that others made."""
        account, lane = self._opened(), self._lane(stream)
        with account.lock:
            return account.tables.table(stream, lane.kept if lane else None)

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        """Create the table or apply the changes, once all that came before has landed and is merged."""
        account, lane = self._opened(), self._lane(table.stream)
        if lane is not None:
            self._landing.settle(lane)
            lane.release()
        with account.lock:
            kept = lane.kept if lane else None
            if kept is not None and self._config.task_schedule_minutes:
                tasks.remove(account.session, self._names, kept)
            self._schedule(self._lanes.keep(account.tables.ensure(table, changes, kept)))

    def _schedule(self, lane: Lane) -> None:
        """Have a task merge the stream, where one is wanted and there is something to merge."""
        minutes, account = self._config.task_schedule_minutes, self._opened()
        lane.scheduled = True
        if minutes and not lane.history and lane.has_landing():
            who = account.session, self._names, account.pipeline, lane.kept
            tasks.install(*who, warehouse=self._config.warehouse, minutes=minutes)

    def write(self, write: Write) -> Sequence[Rejected] | None:
        """Take a unit of work: into a channel, into a COPY to come, or, markers of snapshots, at once."""
        self._opened()
        lane = self._lanes.of(write.stream, write.mode, write.rows, lambda: _absent(write.stream))
        if not lane.scheduled:
            with self._opened().lock:
                self._schedule(lane)
        if write.step is Step.BEGIN:
            self._begin(lane, write)
            return None
        if write.step is None:
            lane.catch_up(self._landing.given_up.wait, self._config.commit_timeout)
        if write.seq is not None:
            lane.came(write.seq.hex())
        if write.rows is not None:
            return self._rows(lane, write, shaping.decoded(write.rows))
        if lane.is_new(write.seq):
            self._end(lane, write) if write.step is Step.END else self._truncate(lane, write)
        return None

    def mark(self, position: Position) -> None:
        self._opened()
        self._landing.mark(position)

    def durable(self) -> tuple[Position, Sequence[Rejected] | None] | None:
        self._opened()
        return self._landing.durable()

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        """Wait until everything has landed and is committed, then merge what is complete."""
        self._opened()
        return self._landing.flush(position)

    def abort(self) -> None:
        """Forget what is on its way. What was streamed may still arrive, and is then skipped."""
        if self._account is not None:
            self._landing.forget()
            self._lanes.release()
            self._stale = True

    def close(self) -> None:
        if self._account is None:
            return
        account, self._account = self._account, None
        self._forget_cancel()
        self._landing.given_up.set()
        account.session.interrupt()
        self._landing.forget()
        self._lanes.release()
        account.session.close()

    _stale = False

    def _opened(self) -> Account:
        if self._account is None:
            raise StateError("the destination is not open", "call open first")
        if self._stale:
            self._lanes.load()
            self._stale = False
        return self._account

    def _lane(self, stream: Stream) -> Lane | None:
        return self._lanes.find(stream)

    def _cancelled(self) -> None:
        """Give what is on its way a little time, so that a run that is stopped ends with all it has taken."""
        timer = threading.Timer(_GRACE, self._interrupt)
        timer.daemon = True
        timer.start()
        self._forget_cancel = timer.cancel

    def _interrupt(self) -> None:
        self._landing.given_up.set()
        if (account := self._account) is not None:
            account.session.interrupt()

    def _begin(self, lane: Lane, write: Write) -> None:
        """Discard what is unfinished; the mark and the table's schema go back to before the snapshot."""
        account = self._opened()
        self._landing.settle(lane)  # what was there before is seen until the end
        with account.lock:
            kept = lane.kept
            if write.seq and kept.seq and kept.seq > write.seq.hex():
                kept = attrs.evolve(kept, seq=write.seq.hex())
                with account.session.transaction():
                    control.require(*account.identity)
                    control.reshape(account.session, account.names, account.pipeline, kept)
            lane.is_new(write.seq)
            lane.restart(snapshots.begin(*account.identity, kept, write.seq))
            lane.staged = 0

    def _end(self, lane: Lane, write: Write) -> None:
        account = self._opened()
        self._landing.drain()
        with account.lock:
            lane.restart(snapshots.end(*account.identity, lane.kept, write.mode, write.seq))
            lane.unsaved = lane.ended = lane.history

    def _truncate(self, lane: Lane, write: Write) -> None:
        account = self._opened()
        self._landing.drain()
        with account.lock:
            kept = attrs.evolve(lane.kept, mark=lane.mark)
            lane.restart(snapshots.truncate(*account.identity, kept, write.seq))

    def _rows(self, lane: Lane, write: Write, rows: pa.Table) -> Sequence[Rejected]:
        """Take the rows above the mark; return those that Snowflake cannot keep."""
        if not lane.is_new(write.seq) and write.seq is not None and shaping.seqs_of(rows) is None:
            return ()
        seqs = shaping.seqs_of(rows)
        if seqs is not None and lane.mark is not None:
            self._replayed(lane, rows, seqs)
            rows, seqs = shaping.above(rows, seqs, lane.mark)
        rows, refused = accept(write.stream, rows, lane.kept.key if write.mode is Mode.MERGE else ())
        if rows.num_rows:
            self._take(lane, write, rows)
        if write.seq is not None:
            lane.taken(write.seq.hex())
        return refused

    def _take(self, lane: Lane, write: Write, rows: pa.Table) -> None:
        mark = write.seq.hex() if write.seq else None
        if write.step is Step.ROWS:
            with self._opened().lock:
                numbered = write.mode is not Mode.APPEND
                start = lane.next_number() if numbered else 0
                lane.staged = start + rows.num_rows
                table = snapshots.staging(self._names, lane.kept)
            shaped = shaping.staged(self._names, lane.kept, rows, start, numbered=numbered)
            self._landing.load(Load(lane, table, shaped, mark))
            return
        if lane.unsaved and not lane.ended:
            self._landing.confirm(lane)
        seqs = shaping.seqs_of(rows)
        if lane.history:
            partial, shaped = None, shaping.whole(self._names, rows)
        elif seqs is None:
            raise SchemaError("rows without sequences cannot be merged", stream=str(write.stream))
        else:
            partial, shaped = shaping.is_partial(rows), shaping.landed(self._names, rows, seqs)
        if lane.channel is None or lane.pending or seqs is None or partial or not self._is_small(shaped):
            self._landing.load(Load(lane, lane.landing, shaped, mark, partial))
        else:
            self._landing.stream(lane, rows, shaped, seqs)

    def _is_small(self, rows: pa.Table) -> bool:
        return rows.nbytes < self._config.bulk_bytes and unspeakable(rows) is None

    def _replayed(self, lane: Lane, rows: pa.Table, seqs: pa.ChunkedArray) -> None:
        """Have rows that were streamed before this life looked for, if any was ever refused."""
        if lane.channel is None or not lane.channel.opened.errors or lane.mark is None:
            return
        rows, seqs = shaping.above(rows, seqs, "" if lane.history else lane.kept.merged or "")
        again, numbers = shaping.below(rows, seqs, lane.channel.opened.committed or "")
        self._landing.outstanding.replayed(lane.stream, lane.channel, again, numbers)


def _absent(stream: Stream) -> SchemaError:
    return SchemaError("the stream has no table", "it was dropped: run again", stream=str(stream))
