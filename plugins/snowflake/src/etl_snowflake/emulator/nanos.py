"""Nanoseconds: a column is kept with microseconds until a value needs more.

DuckDB's types with nanoseconds end in the year 2262, Snowflake's do not. So a column that may have
nanoseconds (a scale above 6) becomes one of those types only when a value with nanoseconds comes, and stays
as it is where a value that it has already does not fit.
"""

from __future__ import annotations

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.names import duck, physical
from etl_snowflake.emulator.types import SnowType

_FINE = {
    "TIMESTAMP_NTZ": "TIMESTAMP_NS",
    "TIMESTAMP_TZ": "TIMESTAMPTZ_NS",
    "TIMESTAMP_LTZ": "TIMESTAMPTZ_NS",
}


def fine_type(kind: SnowType) -> str | None:
    """Give DuckDB's type with nanoseconds, for the types that may have them."""
    return _FINE.get(kind.kind) if kind.scale > 6 else None


def fine_columns(cursor: Cursor, table: Table) -> set[str]:
    """Give the columns of a table that are kept with nanoseconds."""
    kinds = [str(kind) for kind in cursor.sql(f"SELECT * FROM {table.sql} LIMIT 0").types]
    return {column.name for column, kind in zip(table.columns, kinds, strict=True) if kind in _FINE.values()}


def has_nanos(expression: str, kind: str) -> str:
    """Write the test whether a value needs nanoseconds."""
    if kind in _FINE.values():
        return f"epoch_ns({expression}) % 1000 <> 0"
    return rf"regexp_matches({expression}, '\.\d{{6}}\d*[1-9]')" if kind == "VARCHAR" else "FALSE"


def refine(cursor: Cursor, table: Table, names: set[str]) -> None:
    """Keep columns with nanoseconds from now on, where their values allow it."""
    fine = fine_columns(cursor, table) if names else set()
    for column in table.columns:
        kind = fine_type(column.type)
        if kind is None or column.name not in names - fine:
            continue
        name = duck(physical(column.name))
        far = f"SELECT 1 FROM {table.sql} WHERE TRY_CAST({name} AS {kind}) IS NULL AND {name} IS NOT NULL"
        if not cursor.execute(far):
            cursor.execute(f"ALTER TABLE {table.sql} ALTER COLUMN {name} SET DATA TYPE {kind}")


def refine_like(cursor: Cursor, table: Table, others: list[Table]) -> None:
    """Keep columns with nanoseconds that have them, under the same name, where their rows come from."""
    if any(fine_type(column.type) for column in table.columns) and not table.view:
        found = [fine_columns(cursor, other) for other in others if other is not table and not other.view]
        refine(cursor, table, set().union(*found))
