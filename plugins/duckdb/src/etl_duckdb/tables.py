"""Tables made and changed: `ensure`, within the open transaction."""

from __future__ import annotations

import pyarrow as pa

from etl_core import (
    OP,
    AddColumn,
    Change,
    DropColumn,
    RenameColumn,
    SchemaError,
    Stream,
    TableSchema,
    WidenColumn,
)
from etl_duckdb.client import INCOMING, Database
from etl_duckdb.incoming import readable
from etl_duckdb.names import fold, located, quote
from etl_duckdb.target import Target, read
from etl_duckdb.types import sql_type, stored

__all__ = ["apply", "create", "create_schema"]


def create_schema(db: Database, stream: Stream) -> None:
    """Create the schema of a stream's table where it is missing."""
    db.run(f"CREATE SCHEMA IF NOT EXISTS {quote(db.catalog)}.{quote(located(stream)[0])}")


def create(db: Database, table: TableSchema) -> None:
    """Create a table; every column may hold NULL."""
    schema, name = located(table.stream)
    wanted = [*table.columns, *(table.control or ())]
    if len({fold(field.name) for field in wanted}) < len(wanted):
        raise SchemaError(
            "two columns have names that DuckDB cannot tell apart",
            "rename one: it ignores the case of ASCII letters",
            stream=str(table.stream),
        )
    columns = ", ".join(f"{quote(field.name)} {sql_type(field.type)}" for field in wanted)
    db.run(f"CREATE TABLE {db.named(schema, name)} ({columns})")


def apply(db: Database, name: str, change: Change) -> None:
    """Apply one change to the table of this quoted name."""
    match change:
        case AddColumn():
            _add(db, read(db, name), change)
        case RenameColumn():
            _make_room(db, read(db, name), change.new, but=change.old)
            db.run(f"ALTER TABLE {name} RENAME {quote(change.old)} TO {quote(change.new)}")
        case WidenColumn():
            _widen(db, read(db, name), change)
        case DropColumn():
            db.run(f"ALTER TABLE {name} DROP COLUMN {quote(change.name)}")


def _add(db: Database, table: Target, change: AddColumn) -> None:
    """Add a column; rows that are there get its default."""
    _make_room(db, table, change.name)
    column = quote(change.name)
    db.run(f"ALTER TABLE {table.name} ADD COLUMN {column} {sql_type(change.type)}")
    if change.default is None:
        return
    default = pa.table({"added": pa.array([change.default], change.type)})
    db.run(f"UPDATE {table.name} SET {column} = (SELECT added FROM {INCOMING})", incoming=readable(default))


def _make_room(db: Database, table: Target, name: str, but: str | None = None) -> None:
    """Remove a column that the source dropped before and now has again, as another one.

    A mirror shows what the source has: its new column. A history keeps what was.
    """
    if table.place(name) is None or (but is not None and fold(but) == fold(name)):
        return
    if table.place(OP) is not None:
        raise SchemaError(
            "the history still has a dropped column of this name",
            "rename that column in the table, then run again",
            table=table.name,
            column=name,
        )
    db.run(f"ALTER TABLE {table.name} DROP COLUMN {quote(name)}")


def _widen(db: Database, table: Target, change: WidenColumn) -> None:
    """Change a column's type. Values that the new type cannot hold are an error, unless sent again."""
    column, wider = quote(change.name), sql_type(change.type)
    if change.nulls:
        db.run(f"ALTER TABLE {table.name} ALTER COLUMN {column} DROP NOT NULL")
    place = table.place(change.name)
    if place is not None and table.columns.field(place).type == stored(change.type):
        return
    if change.rewrites:
        converted = f"TRY_CAST({column} AS {wider})"
    else:
        _check_exact(db, table, change)
        converted = f"CAST({column} AS {wider})"
    db.run(f"ALTER TABLE {table.name} ALTER COLUMN {column} TYPE {wider} USING {converted}")


def _check_exact(db: Database, table: Target, change: WidenColumn) -> None:
    """Raise SchemaError when a value would not survive the way there and back."""
    place = table.place(change.name)
    column = quote(change.name)
    if place is None:
        raise SchemaError("the table lacks a column", "run `check`", table=table.name, column=change.name)
    there = f"TRY_CAST({column} AS {sql_type(change.type)})"
    changed = f"TRY_CAST({there} AS {sql_type(table.columns.field(place).type)}) IS DISTINCT FROM {column}"
    if db.rows(f"SELECT 1 FROM {table.name} WHERE {changed} LIMIT 1"):
        raise SchemaError(
            "a column's stored values do not fit its new type",
            "use on_rewrite: resnapshot, or convert the column in the table by hand",
            table=table.name,
            column=change.name,
            type=str(change.type),
        )
