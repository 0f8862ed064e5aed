"""The publication: created and extended where it is ours, used as it is where it is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from etl_core import AuthError, ConfigError, FatalError, Stream
from etl_pglib.names import quote_ident, quote_literal, quote_stream
from etl_postgres_cdc.catalog import candidates, published
from etl_postgres_cdc.client import Catalog

__all__ = ["Publication", "create", "creation", "drop", "extend", "find"]

#: The comment that tells a publication of ours from one that somebody else made.
_MARK = "created by etl-core"
#: A table, or its schema, does not exist.
_GONE = ("42P01", "3F000")
#: Nothing can be written: the server is a standby.
_READ_ONLY = "25006"


@frozen
class Publication:
    """A publication; `ours` says that this source made it, `complete` that it has every kind of change."""

    name: str
    oid: int
    ours: bool
    complete: bool


_FIND = """
SELECT p.oid::bigint, pg_catalog.obj_description(p.oid, 'pg_publication') = %s,
  p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
FROM pg_catalog.pg_publication p WHERE p.pubname = %s
"""


def find(catalog: Catalog, name: str) -> Publication | None:
    """Return the publication, or None when there is none of that name."""
    for oid, ours, complete in catalog.query(_FIND, _MARK, name, doing="looking for the publication"):
        return Publication(name, oid, bool(ours), complete)
    return None


def creation(name: str, streams: Sequence[Stream]) -> str:
    """Return the SQL that creates a publication for these tables."""
    return (
        f"CREATE PUBLICATION {quote_ident(name)} FOR TABLE {_only(streams)} "
        "WITH (publish_via_partition_root = true)"
    )


def create(catalog: Catalog, name: str, streams: Sequence[Stream]) -> None:
    """Create a publication of ours. Raises ConfigError on a standby, AuthError where that is forbidden."""
    sql = creation(name, streams)
    try:
        _execute(catalog, f"{sql}; COMMENT ON PUBLICATION {quote_ident(name)} IS {quote_literal(_MARK)}")
    except FatalError as error:
        if error.facts.get("sqlstate") != _READ_ONLY:
            raise
        raise ConfigError("a standby cannot make a publication", f"on its primary, run: {sql}") from None


def extend(catalog: Catalog, name: str, wanted: Callable[[Stream], bool]) -> list[Stream]:
    """Add the tables that are wanted and missing to a publication of ours; return them.

    One whose UPDATE would fail once it is published is left out. None are added when one of them is dropped
    meanwhile, nor on a standby.
    """
    publication = find(catalog, name)
    if publication is None or not publication.ours:
        return []
    there = {table.oid for table in published(catalog, name, wanted)}
    possible = [table for table in candidates(catalog, wanted) if table.identified]
    absent = [table.stream for table in possible if table.oid not in there]
    if absent:
        try:
            _execute(catalog, f"ALTER PUBLICATION {quote_ident(name)} ADD TABLE {_only(absent)}")
        except FatalError as error:
            if error.facts.get("sqlstate") not in (*_GONE, _READ_ONLY):
                raise
            return []
    return absent


def _only(streams: Sequence[Stream]) -> str:
    """Return the tables without those that inherit from them; partitions are no such."""
    return ", ".join(f"ONLY {quote_stream(stream)}" for stream in streams)


def drop(catalog: Catalog, name: str) -> None:
    """Drop a publication of ours."""
    catalog.query(f"DROP PUBLICATION {quote_ident(name)}", doing="dropping the publication")


def _execute(catalog: Catalog, sql: str) -> None:
    try:
        catalog.query(sql, doing="preparing the publication")
    except AuthError as error:
        raise AuthError(
            "the publication cannot be prepared",
            f"as an owner of the tables with CREATE on the database, run: {sql}",
            **error.facts,
        ) from None
