"""Replication slots: create, look at, drop."""

from __future__ import annotations

import secrets
from collections.abc import Generator

from attrs import frozen

from etl_core import FatalError
from etl_pglib.names import quote_ident
from etl_postgres_cdc.client import Catalog, Replication
from etl_postgres_cdc.position import parse_lsn

__all__ = ["Exported", "Slot", "create", "drop", "export", "find"]


@frozen
class Slot:
    """A slot as the server describes it; `confirmed` is where it goes on. `usable` here at all."""

    name: str
    usable: bool
    lost: bool
    active_pid: int | None
    confirmed: int


@frozen
class Exported:
    """A snapshot that other sessions can use while its session lives: all commits before `lsn` are in it."""

    lsn: int
    name: str


_FIND = """
SELECT coalesce(plugin = 'pgoutput' AND slot_type = 'logical' AND NOT temporary AND NOT two_phase
    AND database = pg_catalog.current_database(), false),
  coalesce(wal_status = 'lost', false), active_pid, coalesce(confirmed_flush_lsn, '0/0')::text
FROM pg_catalog.pg_replication_slots WHERE slot_name = %s
"""


def find(catalog: Catalog, name: str) -> Slot | None:
    """Return the slot, or None when there is none of that name."""
    for usable, lost, pid, confirmed in catalog.query(_FIND, name, doing="looking for the slot"):
        return Slot(name, usable, lost, pid, parse_lsn(confirmed))
    return None


def create(replication: Replication, name: str) -> Generator[None, None, int]:
    """Create a permanent slot and return where it starts; yields None while the server waits.

    The server waits until every transaction that is writing now has ended.
    """
    sql = f"CREATE_REPLICATION_SLOT {quote_ident(name)} LOGICAL pgoutput NOEXPORT_SNAPSHOT"
    rows = yield from replication.command(sql, "creating the replication slot")
    return parse_lsn(_required(rows[0][1]))


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
