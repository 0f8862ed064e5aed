"""Where the server's WAL ends, and how to make it move."""

from __future__ import annotations

from etl_core import AuthError, RetryableError
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.position import parse_lsn

__all__ = ["is_standby", "nudge", "position", "target", "wal_end"]

_REPLAYED = "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE {} END"
_ON_DISK = _REPLAYED.format("pg_catalog.pg_current_wal_flush_lsn()")
_WRITTEN = _REPLAYED.format("pg_catalog.pg_current_wal_insert_lsn()")


def is_standby(catalog: Catalog) -> bool:
    """Say whether the server follows another one: then nothing can be written there."""
    ((standby,),) = catalog.query("SELECT pg_catalog.pg_is_in_recovery()", doing="looking at the server")
    return bool(standby)


def wal_end(catalog: Catalog) -> int:
    """Return how far the WAL is on disk, or replayed on a standby: a walsender sends no more."""
    return _lsn(catalog, _ON_DISK)


def target(catalog: Catalog) -> int:
    """Return an LSN that includes all that is committed now, and that the stream will pass.

    An idle server would never send what lies at the very end: hence the nudge. A standby sends all that it
    has replayed.
    """
    lsn = _lsn(catalog, _WRITTEN)
    nudge(catalog)
    return lsn


def position(catalog: Catalog) -> int:
    """Return about where the server is."""
    return _lsn(catalog, _WRITTEN)


def nudge(catalog: Catalog) -> None:
    """Write what no table sees into the WAL: a message, or an empty transaction where that is forbidden.

    On a standby nothing is written: there the primary's WAL goes on, and with it the slot.
    """
    if is_standby(catalog):
        return
    message = "SELECT pg_catalog.pg_logical_emit_message(true, 'etl-core', '')"
    try:
        catalog.query(message, doing="writing a heartbeat")
    except AuthError:
        catalog.query("SELECT pg_catalog.pg_current_xact_id()", doing="writing a heartbeat")


def _lsn(catalog: Catalog, expression: str) -> int:
    ((lsn,),) = catalog.query(f"SELECT ({expression})::text", doing="reading the WAL's end")
    if lsn is None:
        raise RetryableError("the standby has not replayed any WAL yet")
    return parse_lsn(lsn)
