"""A table as it is in the file, and how the columns of incoming rows meet it."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from attrs import field, frozen

from etl_core import RESERVED, SchemaError, Stream
from etl_duckdb.client import Database
from etl_duckdb.names import fold, located, quote
from etl_duckdb.types import sql_type, stored

__all__ = ["Target", "find", "look", "never_null", "read"]


@frozen
class Target:
    """A table: its quoted name and its columns, in order, as they read back."""

    name: str
    columns: pa.Schema
    _places: Mapping[str, int] = field(init=False)

    @_places.default
    def _index(self) -> Mapping[str, int]:
        return {fold(name): place for place, name in enumerate(self.columns.names)}

    def place(self, column: str) -> int | None:
        """Return the place of a column, whatever the case of its letters; None when there is none."""
        return self._places.get(fold(column))

    def names(self) -> str:
        """Return the columns for an INSERT."""
        return ", ".join(quote(name) for name in self.columns.names)

    def sql_type(self, place: int) -> str | None:
        """Return the SQL type of a column; None for one that only DuckDB has."""
        kind = self.columns.field(place).type
        return sql_type(kind) if _known(kind) else None

    def cast(self, place: int, value: str) -> str:
        """Return `value` as the type of a column; DuckDB itself casts to a type that only it has."""
        kind = self.sql_type(place)
        return f"CAST({value} AS {kind})" if kind else value

    def meet(self, rows: pa.Schema) -> list[int | None]:
        """Return, for each column here, the place of the one in `rows` that fills it, or None.

        Raises SchemaError for a column of `rows` that has no place here.
        """
        found: list[int | None] = [None] * len(self.columns)
        for index, name in enumerate(rows.names):
            place = self.place(name)
            if place is not None:
                found[place] = index
            elif name not in RESERVED:
                raise SchemaError(
                    "the table lacks a column of the rows", "run `check`", table=self.name, column=name
                )
        return found


def find(db: Database, stream: Stream) -> Target | None:
    """Return the table of a stream, or None."""
    return look(db, db.named(*located(stream)))


def never_null(db: Database, stream: Stream) -> frozenset[str]:
    """Return the columns of a stream's table that take no NULL, as others made it; names folded."""
    schema, table = located(stream)
    rows = db.rows(
        "SELECT column_name FROM duckdb_columns() WHERE database_name = ? AND NOT is_nullable"
        " AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?)",
        [db.catalog, schema, table],
    )
    return frozenset(fold(row[0]) for row in rows)


def look(db: Database, name: str) -> Target | None:
    """Return the table of this quoted name, or None."""
    return db.recall(name, lambda: _look(db, name))


def _look(db: Database, name: str) -> Target | None:
    found = db.schema(name)
    if found is None:
        return None
    fields = [pa.field(each.name, stored(each.type) if _known(each.type) else each.type) for each in found]
    return Target(name, pa.schema(fields))


def read(db: Database, name: str) -> Target:
    """Return a table that is there, by its quoted name."""
    found = look(db, name)
    if found is None:
        raise SchemaError("a table is gone", "it was dropped meanwhile: run again", table=name)
    return found


def _known(type: pa.DataType) -> bool:
    """Whether Arrow has the type; DuckDB shows others as opaque, or as a union."""
    return not (isinstance(type, pa.OpaqueType) or pa.types.is_union(type))
