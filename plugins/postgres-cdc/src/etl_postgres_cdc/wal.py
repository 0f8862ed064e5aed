"""Where the server's WAL ends, and how to make it move."""

from __future__ import annotations

from etl_core import AuthError
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.position import parse_lsn

__all__ = ["nudge", "position", "target", "wal_end"]


def wal_end(catalog: Catalog) -> int:
    """Return how far the WAL is on disk: a walsender sends no more."""
    return _lsn(catalog, "pg_current_wal_flush_lsn")


def target(catalog: Catalog) -> int:
    """Return an LSN that includes all that is committed now, and that the stream will pass.

    An idle server would never send what lies at the very end: hence the nudge.
    """
    lsn = _lsn(catalog, "pg_current_wal_insert_lsn")
    nudge(catalog)
    return lsn


def position(catalog: Catalog) -> int:
    """Return about where the server is; on a standby too."""
    if catalog.query("SELECT pg_catalog.pg_is_in_recovery()", doing="reading the WAL's end") == [(True,)]:
        return _lsn(catalog, "pg_last_wal_replay_lsn")
    return _lsn(catalog, "pg_current_wal_insert_lsn")


def nudge(catalog: Catalog) -> None:
    """Write what no table sees into the WAL: a message, or an empty transaction where that is forbidden."""
    message = "SELECT pg_catalog.pg_logical_emit_message(true, 'etl-core', '')"
    try:
        catalog.query(message, doing="writing a heartbeat")
    except AuthError:
        catalog.query("SELECT pg_catalog.pg_current_xact_id()", doing="writing a heartbeat")


def _lsn(catalog: Catalog, function: str) -> int:
    ((lsn,),) = catalog.query(f"SELECT pg_catalog.{function}()::text", doing="reading the WAL's end")
    return parse_lsn(lsn)
