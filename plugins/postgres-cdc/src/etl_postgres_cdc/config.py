"""The settings of `postgres-cdc`."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import attrs
from attrs import frozen

from etl_core import Duration, Secret, setting

__all__ = ["PostgresCdc", "default_name"]

_SLOT = re.compile(r"[a-z0-9_]{1,63}\Z")
_NAME_BYTES = 63


def default_name(pipeline: str) -> str:
    """Return the name of a pipeline's slot and publication: lower case letters, digits and `_`, <= 63.

    A name that has to be altered for that gets a hash of what it was: another pipeline's may look alike.
    """
    name = f"etl_{re.sub(r'[^a-z0-9_]', '_', pipeline.lower())}"
    if name == f"etl_{pipeline}" and len(name) <= _NAME_BYTES:
        return name
    digest = hashlib.sha256(pipeline.encode()).hexdigest()[:8]
    return f"{name[: _NAME_BYTES - 9]}_{digest}"


def _slot_name(_: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None and not _SLOT.match(value):
        raise ValueError("not a slot name: write lower case letters, digits and _, at most 63 of them")


def _not_empty(_: object, attribute: attrs.Attribute[list[str]], value: list[str]) -> None:
    if not value:
        raise ValueError('name at least one table or pattern: public.orders, "public.*"')


@frozen
class PostgresCdc:
    """PostgreSQL 15 or newer, through a publication and a logical replication slot."""

    dsn: Secret = setting(help="Where the database is, as libpq takes it: a URI or key=value pairs.")
    tables: list[str] = setting(
        help='Tables as namespace.name, quoted like PostgreSQL; * and ? match: "public.cust*".',
        validator=_not_empty,
    )
    publication: str | None = setting(
        None,
        help="Publication to read; created when absent, used as it is when somebody else made it. "
        "Default: etl_<pipeline>.",
    )
    slot: str | None = setting(
        None,
        help="Replication slot; created when absent. One named here is never dropped. "
        "Default: etl_<pipeline>.",
        validator=_slot_name,
    )
    snapshot: Literal["initial", "never", "only"] = setting(
        "initial",
        help="initial: copy the tables, then follow changes; never: changes from now on; "
        "only: copy the tables and end.",
    )
    on_slot_lost: Literal["fail", "resnapshot"] = setting(
        "fail", help="When the slot can no longer serve the position: stop, or copy all tables again."
    )
    heartbeat: Duration = setting(
        Duration(60.0),
        help="How often a message is written into the WAL, so that an idle database does not hold back "
        "WAL that others need; 0: never.",
    )
    refresh: Duration = setting(Duration(10.0), help="How often to look for tables that joined.")
    snapshot_readers: int = setting(
        2, help="Connections that copy a table side by side.", validator=attrs.validators.ge(1)
    )
    as_text: list[str] = setting(
        factory=list, help="Types, as in SQL, whose columns are taken as PostgreSQL prints them."
    )
