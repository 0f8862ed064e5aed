"""Statements about tables: text, and what is bound where it says `?`. Names are quoted, types are SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from etl_snowflake.names import Names, quote

__all__ = [
    "Statement",
    "add_column",
    "columns_of",
    "create_passing",
    "create_table",
    "drop_column",
    "drop_table",
    "empty",
    "fill",
    "nullable",
    "rename_column",
    "retype",
]

Statement = tuple[str, tuple[Any, ...]]


def columns_of(names: Names, places: Sequence[tuple[str, str]]) -> Statement:
    """Describe the columns of tables (schema, name); no rows for one that is not there or not to be seen."""
    view = names.table("INFORMATION_SCHEMA", "COLUMNS")
    wanted = " OR ".join("(TABLE_SCHEMA = ? AND TABLE_NAME = ?)" for _ in places)
    sql = (
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE,"
        " IS_NULLABLE"
        f" FROM {view} WHERE {wanted} ORDER BY ORDINAL_POSITION"
    )
    return sql, tuple(part for place in places for part in place)


def create_table(table: str, columns: Mapping[str, str]) -> str:
    """Create a table of columns with their SQL types; all of them take NULL."""
    listed = ", ".join(f"{quote(name)} {kind}" for name, kind in columns.items())
    return f"CREATE TABLE IF NOT EXISTS {table} ({listed})"


def create_passing(table: str, columns: Mapping[str, str]) -> str:
    """Create a table whose rows do not stay: nothing is paid for what was in it before."""
    made = create_table(table, columns).replace("CREATE TABLE", "CREATE TRANSIENT TABLE", 1)
    return f"{made} DATA_RETENTION_TIME_IN_DAYS = 0"


def empty(table: str) -> str:
    """Remove all rows, as a part of the open transaction."""
    return f"DELETE FROM {table}"


def drop_table(table: str) -> str:
    """Drop a table, if it is there."""
    return f"DROP TABLE IF EXISTS {table}"


def add_column(table: str, column: str, kind: str) -> str:
    """Add a column."""
    return f"ALTER TABLE {table} ADD COLUMN {quote(column)} {kind}"


def drop_column(table: str, column: str) -> str:
    """Drop a column."""
    return f"ALTER TABLE {table} DROP COLUMN {quote(column)}"


def rename_column(table: str, old: str, new: str) -> str:
    """Rename a column."""
    return f"ALTER TABLE {table} RENAME COLUMN {quote(old)} TO {quote(new)}"


def retype(table: str, column: str, kind: str) -> str:
    """Give a column a wider type."""
    return f"ALTER TABLE {table} ALTER COLUMN {quote(column)} SET DATA TYPE {kind}"


def nullable(table: str, column: str) -> str:
    """Let a column take NULL."""
    return f"ALTER TABLE {table} ALTER COLUMN {quote(column)} DROP NOT NULL"


def fill(table: str, values: Sequence[tuple[str, str]], binds: Sequence[Any]) -> Statement:
    """Set columns, given with the SQL of their values, in every row."""
    assigned = ", ".join(f"{quote(column)} = {value}" for column, value in values)
    return f"UPDATE {table} SET {assigned}", tuple(binds)
