"""The destination `snowflake`: each call goes to the module that knows, over one session and its lock.

Nothing is known but what `open` reads from the account: marks, windows, unfinished snapshots.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

import pyarrow as pa

from etl_core import (
    Change,
    Context,
    Delivery,
    Destination,
    EtlError,
    Mode,
    Position,
    Rejected,
    SchemaError,
    StateError,
    Stream,
    TableSchema,
    Write,
)
from etl_snowflake import tasks
from etl_snowflake.account import Account
from etl_snowflake.checking import check
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.landing import Landing
from etl_snowflake.lanes import Lane, Lanes
from etl_snowflake.names import Names, task_name
from etl_snowflake.taking import Taking
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
        self._taking = Taking(account, self._landing)
        self._stale = self._aborted = False
        self._forget_cancel = ctx.on_cancel(self._cancelled)
        account.install()
        account.clear()
        self._lanes.load()
        self._drop_tasks(account)

    def saved(self, position: Position | None) -> None:
        """Tell ends of histories' snapshots that are saved from those that come again."""
        account = self._opened()
        with account.lock:
            for lane in self._lanes:
                lane.saved(position)

    def fold(self, identifier: str) -> str:
        return self._names.fold(identifier)

    def stored(self, type: pa.DataType) -> pa.DataType:
        return stored(type)

    def table(self, stream: Stream) -> TableSchema | None:
        """Return the table in the account, also one that others made."""
        account, lane = self._opened(), self._lane(stream)
        with account.lock:
            found = account.tables.table(stream, lane.kept if lane else None)
            if found is None or lane is not None:
                return found
            lane = self._lanes.look(stream)
            return account.tables.table(stream, lane.kept) if lane else found

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        """Create the table or apply the changes, once all that came before has landed and is merged."""
        account, lane = self._opened(), self._lane(table.stream)
        if lane is not None:
            self._landing.settle(lane)
            lane.release()
        with account.lock:
            kept = lane.kept if lane else None
            if kept is not None and self._config.task_schedule_minutes:
                tasks.remove(*account.identity, kept)
            self._schedule(self._lanes.keep(account.tables.ensure(table, changes, kept)))

    def _drop_tasks(self, account: Account) -> None:
        """Drop the tasks of the pipeline's streams that are not wanted any more."""
        wanted = self._config.task_schedule_minutes is not None
        streams = [lane.kept for lane in self._lanes if lane.history or not wanted]
        with account.lock:
            there = tasks.there(account.session, self._names) if streams else ()
            for kept in streams:
                if task_name(kept.landing) in there:
                    tasks.remove(*account.identity, kept)

    def _schedule(self, lane: Lane) -> None:
        """Have a task merge the stream, where one is wanted and there is something to merge."""
        minutes, account = self._config.task_schedule_minutes, self._opened()
        lane.scheduled = True
        if minutes and not lane.history and lane.has_landing():
            who = *account.identity, lane.kept
            tasks.install(*who, warehouse=self._config.warehouse, minutes=minutes)

    def write(self, write: Write) -> Sequence[Rejected] | None:
        """Take a unit of work: into a channel, into a COPY to come, or, markers of snapshots, at once."""
        self._opened()
        lane = self._lanes.of(write.stream, write.mode, write.rows, lambda: _absent(write.stream))
        if not lane.scheduled:
            with self._opened().lock:
                self._schedule(lane)
        return self._taking.take(lane, write)

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
            self._stale = self._aborted = True
            self._landing.forget()
            self._lanes.release()

    def close(self) -> None:
        """Release everything. Where nothing was aborted, what was told last was saved."""
        if self._account is None:
            return
        account, self._account = self._account, None
        if not self._aborted:
            with suppress(EtlError):
                self._landing.finish(_GRACE)
        self._forget_cancel()
        self._landing.given_up.set()
        account.session.interrupt()
        self._landing.forget()
        self._lanes.release()
        account.session.close()

    def _opened(self) -> Account:
        """Return the account; the run goes on, so that what it was told is saved."""
        if self._account is None:
            raise StateError("the destination is not open", "call open first")
        if self._stale:
            self._lanes.load()
            self._stale = False
        self._aborted = False
        self._landing.go_on()
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


def _absent(stream: Stream) -> SchemaError:
    return SchemaError("the stream has no table", "it was dropped: run again", stream=str(stream))
