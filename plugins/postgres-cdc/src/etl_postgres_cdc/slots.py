"""Replication slots: create, look at, drop."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Generator
from typing import TypeVar

from attrs import frozen

from etl_core import Context, FatalError
from etl_pglib.names import quote_ident
from etl_postgres_cdc.client import Catalog, Replication
from etl_postgres_cdc.position import parse_lsn
from etl_postgres_cdc.wal import is_standby

__all__ = ["Exported", "Slot", "create", "drop", "export", "find", "told"]


@frozen
class Slot:
    """A slot as the server describes it; `confirmed` is where it goes on. `usable` here at all.

    `reason` says why it is `lost`, in the words of pg_replication_slots.invalidation_reason; before
    PostgreSQL 17, which has that, it is only known of standbys.
    """

    name: str
    usable: bool
    lost: bool
    active_pid: int | None
    confirmed: int
    reason: str | None = None


@frozen
class Exported:
    """A snapshot that other sessions can use while its session lives: all commits before `lsn` are in it."""

    lsn: int
    name: str


#: Seconds after which one wants to know why it takes so long.
_LONG = 5.0
_WAITS = "the server waits with the slot until every transaction that is writing now has ended"
_WAITS_THERE = (
    "the standby waits with the slot for word of its primary about transactions; to hear it at once, run on "
    "the primary: SELECT pg_log_standby_snapshot()"
)

T = TypeVar("T")

_FIND = """
SELECT coalesce(plugin = 'pgoutput' AND slot_type = 'logical' AND NOT temporary AND NOT two_phase
    AND database = pg_catalog.current_database(), false),
  coalesce(wal_status = 'lost', false), active_pid, coalesce(confirmed_flush_lsn, '0/0')::text,
  CASE WHEN r.slot ? 'invalidation_reason' THEN r.slot ->> 'invalidation_reason'
    WHEN pg_catalog.pg_is_in_recovery() AND r.slot ->> 'conflicting' = 'true' THEN 'rows_removed' END
FROM pg_catalog.pg_replication_slots s, LATERAL (SELECT pg_catalog.to_jsonb(s) AS slot) r
WHERE slot_name = %s
"""


def find(catalog: Catalog, name: str) -> Slot | None:
    """Return the slot, or None when there is none of that name."""
    for usable, lost, pid, confirmed, reason in catalog.query(_FIND, name, doing="looking for the slot"):
        return Slot(name, usable, lost, pid, parse_lsn(confirmed), reason)
    return None


def create(replication: Replication, name: str) -> Generator[None, None, int]:
    """Create a permanent slot and return where it starts; yields None while the server waits.

    The server waits until every transaction that is writing now has ended.
    """
    sql = f"CREATE_REPLICATION_SLOT {quote_ident(name)} LOGICAL pgoutput NOEXPORT_SNAPSHOT"
    rows = yield from replication.command(sql, "creating the replication slot")
    return parse_lsn(_required(rows[0][1]))


def told(steps: Generator[None, None, T], ctx: Context, catalog: Catalog) -> Generator[None, None, T]:
    """Do these steps, and say what the server waits for when they take long."""
    late = time.monotonic() + _LONG
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        if time.monotonic() >= late:
            late = math.inf
            ctx.logger.warning(_WAITS_THERE if is_standby(catalog) else _WAITS)
        yield None


def export(replication: Replication, prefix: str) -> Generator[None, None, Exported]:
    """Export the snapshot of a temporary slot; it lives until the next command of `replication`."""
    name = f"{prefix[:50]}_{secrets.token_hex(5)}"
    sql = f"CREATE_REPLICATION_SLOT {quote_ident(name)} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
    rows = yield from replication.command(sql, "exporting a snapshot")
    return Exported(parse_lsn(_required(rows[0][1])), _required(rows[0][2]))


def drop(catalog: Catalog, name: str) -> None:
    """Drop a slot. Raises RetryableError while somebody reads it."""
    catalog.query("SELECT pg_catalog.pg_drop_replication_slot(%s)", name, doing="dropping the slot")


def _required(value: str | None) -> str:
    if value is None:
        raise FatalError("the server's answer to CREATE_REPLICATION_SLOT was not understood")
    return value
