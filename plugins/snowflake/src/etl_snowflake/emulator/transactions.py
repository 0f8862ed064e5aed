"""Transactions of sessions, and the streamed rows that become visible within them.

Snowflake reads what is committed when a *statement* begins; DuckDB what was when the *transaction* began. So
that a `DELETE` after a `MERGE` in one transaction meets rows that were streamed between the two, as it would
there, rows that a channel commits meanwhile are written by the open transaction itself, before its next
statement. They are reported as committed when it ends; after a rollback they are written once more. A
transaction that does nothing meanwhile holds them up for a second at most.

Who waits for the lock of an idle transaction ends it, as Snowflake does (there after minutes): a client that
was killed leaves one behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import duckdb

from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.faults import Switches
from etl_snowflake.emulator.sessions import Session
from etl_snowflake.emulator.store import Store, patient

_T = TypeVar("_T")
Rows = Callable[[Cursor], None]


@dataclass
class Ride:
    """Rows that wait for an open transaction: how to write them, and what to do when they are durable."""

    write: Rows
    done: Callable[[], None]
    written: bool = False


_HELD_UP = 1.0


@dataclass
class _Open:
    session: Session
    rides: list[Ride] = field(default_factory=list)
    undo: list[Callable[[], object]] = field(default_factory=list)


class Transactions:
    """The open transactions."""

    def __init__(self, store: Store, switches: Switches) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._open: dict[int, _Open] = {}
        self._switches = switches
        store.relieve = self.relieve

    def begin(self, session: Session) -> None:
        """Open a transaction, if none is open."""
        if not session.transaction:
            with self._lock:
                session.cursor.execute("BEGIN")
                session.transaction = True
                self._open[session.number] = _Open(session)

    def commit(self, session: Session) -> None:
        """Make what the transaction did durable."""
        if not session.transaction:
            return
        self.board(session)
        try:
            session.cursor.execute("COMMIT")
        except duckdb.Error:
            self._end(session, kept=False)
            raise
        self._end(session, kept=True)

    def rollback(self, session: Session) -> None:
        """Undo what the transaction did."""
        if session.transaction:
            session.cursor.execute("ROLLBACK")
            self._end(session, kept=False)

    def _end(self, session: Session, *, kept: bool) -> None:
        session.transaction = False
        self._store.unlock(session)
        with self._lock:
            ended = self._open.pop(session.number)
            rides, ended.rides = ended.rides, []
        for undo in () if kept else ended.undo:
            undo()
        for ride in rides:
            if not (kept and ride.written):
                self._alone(ride.write)
            ride.done()

    def on_rollback(self, session: Session, undo: Callable[[], object]) -> None:
        """Say what else is to be undone when the session's open transaction is."""
        with self._lock:
            if session.number in self._open:
                self._open[session.number].undo.append(undo)

    def board(self, session: Session) -> None:
        """Write the rows that wait for this transaction, so that its next statement sees them."""
        with self._lock:
            waiting = self._open.get(session.number)
            rides = [ride for ride in waiting.rides if not ride.written] if waiting else []
            for ride in rides:
                ride.written = True
        for ride in rides:
            ride.write(session.cursor)

    def stream(self, write: Rows, done: Callable[[], None]) -> None:
        """Commit streamed rows: at once, or with the transaction that is open."""
        with self._lock:
            waiting = next(iter(self._open.values()), None)
            if waiting is not None:
                ride = Ride(write, done)
                waiting.rides.append(ride)
                timer = threading.Timer(_HELD_UP, self._alight, [waiting, ride])
                timer.daemon = True
                timer.start()
                return
        self._alone(write)
        done()

    def _alight(self, waiting: _Open, ride: Ride) -> None:
        """Commit rows without the transaction that did not come for them."""
        with self._lock:
            if ride.written or ride not in waiting.rides:
                return
            waiting.rides.remove(ride)
        self._alone(ride.write)
        ride.done()

    def relieve(self, holder: object) -> None:
        """Roll a transaction back that holds the lock and does nothing."""
        if not isinstance(holder, Session) or not holder.transaction:
            return
        if time.monotonic() - holder.used > self._switches.transaction_idle and holder.busy.acquire(
            blocking=False
        ):
            try:
                self.rollback(holder)
            finally:
                holder.busy.release()

    def _alone(self, write: Rows) -> None:
        def work() -> None:
            with self._store.cursor() as cursor:
                cursor.execute("BEGIN")
                try:
                    write(cursor)
                    cursor.execute("COMMIT")
                except BaseException:
                    _undo(cursor)
                    raise

        patient(work)

    def atomic(self, session: Session, work: Callable[[], _T], *, alone: bool) -> _T:
        """Do DML within the open transaction, or within one of its own."""
        if not session.autocommit:
            self.begin(session)
        if session.transaction:
            self._store.lock(session)  # also who appends: what it changes later must not be stale by then
            self.board(session)
            return work()
        if not alone:
            return patient(lambda: self._own(session, work))
        with self._store.changing(session):
            return patient(lambda: self._own(session, work))

    def read(self, session: Session, work: Callable[[], _T]) -> _T:
        """Run a query, which sees what is committed when it begins."""
        if session.transaction:
            self.board(session)
        return patient(work)

    def _own(self, session: Session, work: Callable[[], _T]) -> _T:
        session.cursor.execute("BEGIN")
        try:
            result = work()
            session.cursor.execute("COMMIT")
        except BaseException:
            _undo(session.cursor)
            raise
        return result


def _undo(cursor: Cursor) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        return  # a commit that failed has undone it already
