"""About how many rows tables have, for people who watch a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from etl_core import RetryableError
from etl_postgres_cdc.catalog import Table
from etl_postgres_cdc.client import Catalog

__all__ = ["estimate", "estimates"]

# A partitioned table has the rows of its leaves. A row takes its header, its item's pointer and its
# columns; of those without a fixed length the planner too takes 32 bytes where nothing is known.
_SIZES = """
SELECT p.oid::bigint, c.reltuples::float8, c.relpages::float8, {bytes}::float8,
  pg_catalog.current_setting('block_size')::float8,
  (SELECT 28 + coalesce(sum(CASE WHEN a.attlen > 0 THEN a.attlen ELSE 32 END), 0)
   FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::float8
FROM pg_catalog.pg_class p
CROSS JOIN LATERAL (
  SELECT p.oid AS relid WHERE p.relkind <> 'p'
  UNION SELECT t.relid::oid FROM pg_catalog.pg_partition_tree(p.oid) t WHERE t.isleaf
) leaf
JOIN pg_catalog.pg_class c ON c.oid = leaf.relid
WHERE p.oid = ANY(%s::bigint[]::oid[])
"""
_SIZE = "pg_catalog.pg_relation_size(c.oid)"
_LOCK_TIMEOUT = "SELECT pg_catalog.set_config('lock_timeout', %s, false)"
#: Milliseconds to wait for a table that somebody alters, before its size is left out.
_PATIENCE = "100"
_LOCKED = "55P03"
_DOING = "estimating rows"


def estimate(catalog: Catalog, table: Table) -> int | None:
    """Return about how many rows a table has that this pipeline keeps from being altered; None: not known."""
    if table.row_filter:
        return None
    sizes = catalog.query(_SIZES.format(bytes=_SIZE), [table.oid], doing=_DOING)
    return _summed(sizes).get(table.oid)


def estimates(catalog: Catalog, tables: Sequence[Table]) -> dict[int, int]:
    """Return about how many rows tables have, by oid; those with a row filter are left out.

    Taken from the last VACUUM or ANALYZE and from how large a table is now. Reads no table. A table that
    somebody keeps locked is not waited for: then all are estimated without their sizes, and those that
    were never analysed are left out.
    """
    return _summed(_measured(catalog, [table.oid for table in tables if not table.row_filter]))


def _summed(sizes: Sequence[tuple[Any, ...]]) -> dict[int, int]:
    found: dict[int, float] = {}
    unknown = set()
    for oid, *row in sizes:
        rows = _rows(*row)
        if rows is None:
            unknown.add(oid)
        found[oid] = found.get(oid, 0.0) + (rows or 0.0)
    return {oid: round(rows) for oid, rows in found.items() if oid not in unknown}


def _measured(catalog: Catalog, oids: Sequence[int]) -> list[tuple[Any, ...]]:
    """Return a row for each table or leaf; without sizes where one of them is locked."""
    catalog.query(_LOCK_TIMEOUT, _PATIENCE, doing=_DOING)
    try:
        return catalog.query(_SIZES.format(bytes=_SIZE), oids, doing=_DOING)
    except RetryableError as error:
        if error.facts.get("sqlstate") != _LOCKED:
            raise
        return catalog.query(_SIZES.format(bytes="NULL"), oids, doing=_DOING)
    finally:
        catalog.query(_LOCK_TIMEOUT, "0", doing=_DOING)


def _rows(tuples: float, pages: float, size: float | None, block: float, width: float) -> float | None:
    """Estimate the rows of one relation as the planner does; None: nothing is known.

    `tuples` (-1: never counted) were on `pages` when they were last counted; `size` is in bytes.
    """
    if tuples >= 0 and pages > 0:
        return tuples if size is None else tuples / pages * (size / block)
    return None if size is None else size / width
