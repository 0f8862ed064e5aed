"""What the server's catalog says about tables: which are published how, their columns, their keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import frozen

from etl_core import Stream
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.position import Column

__all__ = [
    "Attribute",
    "Table",
    "attributes",
    "candidate",
    "candidates",
    "existing",
    "published",
    "published_table",
]

_HAS_GENERATED = 180000
_PARTITIONED = "p"


@frozen
class Attribute:
    """A column as the catalog has it now, or what is left of a dropped one.

    `xid` is the transaction that changed the entry last. `missing` is the value that rows from before the
    column have, as text; `filled` says that they may have one that is not known.
    """

    number: int
    name: str
    oid: int
    typmod: int
    dropped: bool
    published: bool
    xid: int
    missing: str | None
    filled: bool


@frozen
class Table:
    """A table that is or can be published; `kind` is pg_class.relkind, `identity` its replica identity.

    `bare` are its partitions without a key to replicate by: the table's own identity does not reach them.
    """

    stream: Stream
    oid: int
    kind: str
    identity: str
    member: str = ""
    row_filter: str | None = None
    attributes: tuple[Attribute, ...] = ()
    key: tuple[int, ...] = ()
    bare: tuple[Stream, ...] = ()

    @property
    def identified(self) -> bool:
        """Whether an UPDATE works once the table is published, or is known not to be wanted."""
        return (self.identity in ("f", "n") or bool(self.key)) and not self.bare

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(
            Column(a.number, a.name, a.oid, a.typmod)
            for a in self.attributes
            if a.published and not a.dropped
        )


_CANDIDATES = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relreplident::text, '', NULL, NULL
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
# The member names the entry that publishes a table: of the table, of a partition's ancestor, of a schema.
_PUBLISHED = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relreplident::text,
  p.oid || ':' || coalesce(
    (SELECT min(r.oid::bigint) FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = p.oid
       AND (r.prrelid = c.oid OR r.prrelid IN (SELECT relid FROM pg_catalog.pg_partition_ancestors(c.oid)))),
    (SELECT s.oid::bigint FROM pg_catalog.pg_publication_namespace s
       WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace),
    0),
  t.attnames::text[], t.rowfilter
FROM pg_catalog.pg_publication p
JOIN pg_catalog.pg_publication_tables t ON t.pubname = p.pubname
JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE p.pubname = %s
"""
_ONE = " AND n.nspname = %s AND c.relname = %s"
_ORDER = " ORDER BY 2, 3"
_ATTRIBUTES = """
SELECT a.attrelid::bigint, a.attnum, a.attname, a.atttypid::bigint, a.atttypmod, a.attisdropped,
  a.attgenerated <> '', a.xmin::text::bigint,
  (a.attmissingval::text::text[])[1],
  (a.atthasdef OR a.attidentity <> '' OR a.attnotnull) AND NOT a.atthasmissing
FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY(%s::bigint[]::oid[]) AND a.attnum > 0 ORDER BY 1, 2
"""
_KEYS = """
SELECT i.indrelid::bigint, (i.indkey::int2[])[0:i.indnkeyatts - 1]
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
WHERE i.indrelid = ANY(%s::bigint[]::oid[]) AND i.indisunique AND i.indimmediate AND i.indisvalid
  AND i.indpred IS NULL AND i.indexprs IS NULL
  AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END
"""
_BARE = """
SELECT r.oid::bigint, n.nspname, c.relname
FROM pg_catalog.pg_class r CROSS JOIN pg_catalog.pg_partition_tree(r.oid) t
JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.oid = ANY(%s::bigint[]::oid[]) AND t.isleaf AND c.relkind = 'r' AND c.relreplident NOT IN ('f', 'n')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
    AND CASE WHEN c.relreplident = 'i' THEN i.indisreplident ELSE i.indisprimary END)
ORDER BY 1, 2, 3
"""


def candidates(catalog: Catalog, wanted: Callable[[Stream], bool]) -> list[Table]:
    """Return the permanent tables that `wanted` takes; a partitioned table is one, its partitions none."""
    rows = catalog.query(_CANDIDATES + _ORDER, doing="listing tables")
    return _tables(catalog, rows, wanted)


def candidate(catalog: Catalog, stream: Stream) -> Table | None:
    """Return one such table, or None."""
    rows = catalog.query(_CANDIDATES + _ONE, stream.namespace, stream.name, doing="looking for a table")
    return next(iter(_tables(catalog, rows, stream.__eq__)), None)


def published(catalog: Catalog, publication: str, wanted: Callable[[Stream], bool]) -> list[Table]:
    """Return the tables of a publication that `wanted` takes, as it publishes them."""
    rows = catalog.query(_PUBLISHED + _ORDER, publication, doing="listing published tables")
    return _tables(catalog, rows, wanted)


def published_table(catalog: Catalog, publication: str, stream: Stream) -> Table | None:
    """Return one such table, or None: where there are many, looking at each alone is what costs."""
    rows = catalog.query(
        _PUBLISHED + _ONE, publication, stream.namespace, stream.name, doing="looking for a table"
    )
    return next(iter(_tables(catalog, rows, stream.__eq__)), None)


def existing(catalog: Catalog, relations: Sequence[int]) -> set[int]:
    """Return which of these relations (by oid) there are."""
    sql = "SELECT oid::bigint FROM pg_catalog.pg_class WHERE oid = ANY(%s::bigint[]::oid[])"
    return {oid for (oid,) in catalog.query(sql, list(relations), doing="looking for tables")}


def attributes(
    catalog: Catalog, relation: int, names: Collection[str] | None = None
) -> tuple[Attribute, ...]:
    """Return the columns of a table, dropped ones too; none when the table is gone."""
    return _attributes(catalog, {relation: names}).get(relation, ())


def _tables(
    catalog: Catalog, rows: Sequence[tuple[Any, ...]], wanted: Callable[[Stream], bool]
) -> list[Table]:
    rows = [row for row in rows if wanted(Stream(row[1], row[2]))]
    oids = [row[0] for row in rows]
    columns = _attributes(catalog, {row[0]: row[6] for row in rows})
    keys = {row[0]: tuple(row[1]) for row in catalog.query(_KEYS, oids, doing="reading keys")}
    bare = _bare(catalog, [row[0] for row in rows if row[3] == _PARTITIONED])
    return [
        Table(
            Stream(row[1], row[2]), row[0], row[3], row[4], row[5], row[7],
            columns.get(row[0], ()), keys.get(row[0], ()), bare.get(row[0], ()),
        )
        for row in rows
    ]  # fmt: skip


def _bare(catalog: Catalog, tables: Sequence[int]) -> dict[int, tuple[Stream, ...]]:
    """Return, by partitioned table, the partitions that have no key to replicate by."""
    found: dict[int, tuple[Stream, ...]] = {}
    for oid, namespace, name in catalog.query(_BARE, tables, doing="reading partitions") if tables else ():
        found[oid] = (*found.get(oid, ()), Stream(namespace, name))
    return found


def _attributes(
    catalog: Catalog, names: dict[int, Collection[str] | None]
) -> dict[int, tuple[Attribute, ...]]:
    found: dict[int, list[Attribute]] = {}
    for row in catalog.query(_ATTRIBUTES, list(names), doing="reading columns"):
        oid, number, name, kind, typmod, dropped, generated, xid, missing, filled = row
        listed = names[oid]
        sent = not generated or (catalog.version >= _HAS_GENERATED and listed is not None)
        is_published = not dropped and sent and (listed is None or name in listed)
        found.setdefault(oid, []).append(
            Attribute(number, name, kind, typmod, dropped, is_published, xid, missing, filled)
        )
    return {oid: tuple(columns) for oid, columns in found.items()}
