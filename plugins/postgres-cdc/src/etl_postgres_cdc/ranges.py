"""The parts of a table that are read on their own, and the queries that read them."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from etl_core import Stream
from etl_pglib.names import quote_stream
from etl_postgres_cdc.catalog import Table
from etl_postgres_cdc.client import Catalog

__all__ = ["queries", "relations"]

#: Heap bytes of a range.
_RANGE = 16 << 20

_RELATIONS = """
SELECT n.nspname, c.relname, c.relfilenode::bigint FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = %s AND c.relkind <> 'p'
   OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%s::bigint::oid) WHERE isleaf)
ORDER BY c.oid
"""
_BLOCKS = """
SELECT pg_catalog.pg_relation_size(%s::text::regclass) / b.size, b.size
FROM (SELECT pg_catalog.current_setting('block_size')::int AS size) b
"""


@frozen
class _Range:
    """Blocks of one relation."""

    relation: Stream
    first: int
    last: int | None

    def condition(self) -> str:
        low = f"ctid >= '({self.first},0)'::pg_catalog.tid"
        return low if self.last is None else f"{low} AND ctid < '({self.last},0)'::pg_catalog.tid"


def relations(catalog: Catalog, table: Table) -> list[tuple[Stream, int]]:
    """Return the relations that hold a table's rows, itself or its partitions, with their files."""
    rows = catalog.query(_RELATIONS, table.oid, table.oid, doing="finding a table's files")
    return [(Stream(row[0], row[1]), row[2]) for row in rows]


def queries(catalog: Catalog, table: Table) -> list[str]:
    """Return the FROM clauses that together read all rows of a table once, in an order that is kept."""
    row_filter = f" AND ({table.row_filter})" if table.row_filter else ""
    return [
        f"FROM ONLY {quote_stream(part.relation)} WHERE {part.condition()}{row_filter}"
        for part in _ranges(catalog, table)
    ]


def _ranges(catalog: Catalog, table: Table) -> Iterator[_Range]:
    """Cut a table into ranges of blocks; the last has no end, though nothing visible is behind it."""
    for relation, _ in relations(catalog, table):
        ((blocks, size),) = catalog.query(_BLOCKS, quote_stream(relation), doing="measuring a table")
        step = max(1, _RANGE // size)
        for first in range(0, max(blocks, 1), step):
            yield _Range(relation, first, first + step if first + step < blocks else None)
