"""How far the server is ahead of a position, and how much WAL it keeps for the slot."""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import Any

from attrs import frozen

from etl_core import AuthError, Cancelled, Context, Lag, RetryableError, StateError
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.config import PostgresCdc, default_name
from etl_postgres_cdc.position import Progress, parse_lsn
from etl_postgres_cdc.startup import RESTART

__all__ = ["Horizon", "Lagging", "State", "look"]

#: A standby can send what it has replayed, and will have replayed what it has received. The clock is read
#: before the WAL's end: what had been committed by then is before that.
_LOOK = """
SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint,
  (CASE WHEN pg_catalog.pg_is_in_recovery()
    THEN greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
    ELSE pg_catalog.pg_current_wal_flush_lsn() END)::text,
  coalesce(s.wal_status, 'missing'), s.restart_lsn::text, s.confirmed_flush_lsn::text, s.safe_wal_size
FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = %s
"""
_SYSTEM = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()"
#: Points of the WAL that are remembered.
_POINTS = 512


@frozen
class State:
    """The server as it was `at` (Unix us, its own clock): where its WAL ends, and its slot.

    `status` is pg_replication_slots.wal_status, or ``missing``; `safe` its safe_wal_size.
    """

    at: int
    end: int
    status: str
    restart: int | None
    confirmed: int | None
    safe: int | None


def look(catalog: Catalog, slot: str) -> State:
    """Ask the server where it is; on a standby too."""
    ((at, end, status, restart, confirmed, safe),) = catalog.query(_LOOK, slot, doing="measuring the lag")
    if end is None:
        raise RetryableError("the standby has not replayed any WAL yet")
    return State(at, parse_lsn(end), status, _lsn(restart), _lsn(confirmed), safe)


def _lsn(text: str | None) -> int | None:
    return None if text is None else parse_lsn(text)


class Horizon:
    """Remembers where the WAL ended when, and so as of when a position is complete. From any thread.

    Old points are thinned out: what lies far back is known less exactly.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: list[int] = []
        self._times: list[int] = []

    def note(self, state: State) -> None:
        """Remember a state of the server. WAL that ends before what was seen is another history's."""
        with self._lock:
            if self._ends and state.end < self._ends[-1]:
                self._ends, self._times = [], []
            if self._ends and state.end == self._ends[-1]:
                self._times[-1] = state.at
                return
            self._ends.append(state.end)
            self._times.append(state.at)
            if len(self._ends) > _POINTS:
                del self._ends[1 : _POINTS // 2 : 2], self._times[1 : _POINTS // 2 : 2]

    def covered(self, lsn: int) -> int | None:
        """Return the last time (Unix us) at which no WAL ended behind `lsn`; None: not known."""
        with self._lock:
            found = bisect_right(self._ends, lsn)
            return self._times[found - 1] if found else None

    def advance(self, progress: Progress) -> None:
        """Let a position know as of when it is complete; another thread may move its LSN on meanwhile."""
        covered = self.covered(progress.lsn)
        if covered is not None and (progress.as_of is None or covered > progress.as_of):
            progress.as_of = covered


@frozen
class _Place:
    """What a position says: an LSN (None: there is no position), as of when, and of which server."""

    lsn: int | None = None
    as_of: int | None = None
    system: str | None = None

    @classmethod
    def of(cls, value: Any) -> _Place:
        """Read a position's value, but not its tables. Raises StateError when it is not one of ours."""
        if value is None:
            return cls()
        try:
            return cls(parse_lsn(value["lsn"]), value.get("as_of"), str(value["system"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise StateError("the position is not one of postgres-cdc") from None


class Lagging:
    """Measures the lag over a connection of its own, which is kept; for one thread at a time."""

    def __init__(self, config: PostgresCdc, horizon: Horizon) -> None:
        self._config = config
        self._horizon = horizon
        self._ctx: Context | None = None
        self._catalog: Catalog | None = None
        self._system: str | None = None

    def measure(self, ctx: Context, value: Any) -> Lag:
        """Return the lag of a position's value; without one, that of what the slot has confirmed.

        Raises what a connection raises, StateError for a position of another source or server.
        """
        place = _Place.of(value)
        state = self._measured(ctx, self._config.slot or default_name(ctx.pipeline))
        if place.system and self._system and place.system != self._system:
            raise StateError("the position is one of another server", RESTART, found=self._system)
        self._horizon.note(state)
        return self._lag(place, state)

    def _measured(self, ctx: Context, slot: str) -> State:
        """Look at the server; whatever goes wrong, and once the run is over, no connection is left.

        Who comes late after that, when nobody waits or closes any more, has to close what it opened.
        """
        try:
            state = self._state(ctx, slot)
        except BaseException:
            self.close()
            raise
        if ctx.cancel.is_set():
            self.close()
        return state

    def _state(self, ctx: Context, slot: str) -> State:
        """Look at the server; a connection that has gone stale is replaced once."""
        kept = self._catalog is not None and self._ctx is ctx
        try:
            return look(self._connected(ctx), slot)
        except RetryableError:
            self.close()
            if not kept:
                raise
        return look(self._connected(ctx), slot)

    def _connected(self, ctx: Context) -> Catalog:
        if ctx.cancel.is_set():
            raise Cancelled
        if self._ctx is not ctx:
            self.close()
        if self._catalog is None:
            self._catalog, self._ctx = Catalog(self._config.dsn, ctx), ctx
            self._system = _system(self._catalog)
        return self._catalog

    def _lag(self, place: _Place, state: State) -> Lag:
        lsn = state.confirmed if place.lsn is None else place.lsn
        behind = None if lsn is None else max(0, state.end - lsn)
        return Lag(
            bytes=behind,
            seconds=0.0 if behind == 0 else self._seconds(place, state),
            retained_bytes=None if state.restart is None else max(0, state.end - state.restart),
            remaining_bytes=None if state.safe is None else max(0, state.safe),
            status=state.status,
        )

    def _seconds(self, place: _Place, state: State) -> float | None:
        """Return the time since the position was last known to be complete."""
        seen = None if place.lsn is None else self._horizon.covered(place.lsn)
        known = [at for at in (place.as_of, seen) if at is not None]
        return max(0.0, (state.at - max(known)) / 1_000_000) if known else None

    def close(self) -> None:
        """End the connection; the next measurement opens another."""
        catalog, self._catalog = self._catalog, None
        if catalog:
            catalog.close()


def _system(catalog: Catalog) -> str | None:
    """Return the server's identifier; None where asking is forbidden."""
    try:
        ((system,),) = catalog.query(_SYSTEM, doing="identifying the server")
    except AuthError:
        return None
    return str(system)
