"""Rows whose values a table's narrower column would change: found by asking DuckDB, and refused."""

from __future__ import annotations

import pyarrow as pa

from etl_core import Rejected, Stream
from etl_duckdb.client import INCOMING, Database
from etl_duckdb.incoming import numbers, readable, split
from etl_duckdb.target import Target
from etl_duckdb.types import sql_type

__all__ = ["fitting"]


def fitting(db: Database, stream: Stream, table: Target, rows: pa.Table) -> tuple[pa.Table, list[Rejected]]:
    """Part rows that do not survive the cast to the table's types from those that do.

    Free of cost where the types are the table's, which is what `ensure` makes them.
    """
    refused: list[Rejected] = []
    for place, name in _differing(table, rows.schema):
        rows, bad = split(rows, _misfits(db, table, place, rows.column(name)))
        refused += [Rejected(stream, bad, "does_not_fit", name)] if bad.num_rows else []
    return rows, refused


def _differing(table: Target, rows: pa.Schema) -> list[tuple[int, str]]:
    """Return the columns, as places in the table with their names, whose types are not the table's."""
    pairs = ((place, rows.field(index)) for place, index in enumerate(table.meet(rows)) if index is not None)
    return [
        (place, field.name)
        for place, field in pairs
        if table.sql_type(place) not in {None, sql_type(field.type)}
    ]


def _misfits(db: Database, table: Target, place: int, column: pa.ChunkedArray) -> pa.Array:
    kind = sql_type(column.type)
    returned = f"TRY_CAST(TRY_CAST(given AS {table.sql_type(place)}) AS {kind})"
    found = db.rows(
        f"SELECT n FROM {INCOMING} WHERE {returned} IS DISTINCT FROM CAST(given AS {kind})",
        incoming=readable(pa.table([column, numbers(len(column))], ["given", "n"])),
    )
    return pa.array([row[0] for row in found], pa.int64())
