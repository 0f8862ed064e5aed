"""Rows on their way in: in types DuckDB reads, without those whose values it would change."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from etl_core import OLD_KEY, Rejected, Stream
from etl_duckdb.intervals import fine_intervals, has_fine_interval
from etl_duckdb.types import handed

__all__ = ["accept", "readable", "split"]


def readable(rows: pa.Table) -> pa.Table:
    """Return `rows` with every column in a type DuckDB reads; columns that are keep their buffers."""
    for index, field in enumerate(rows.schema):
        wanted = handed(field.type)
        if wanted != field.type:
            rows = rows.set_column(index, field.name, _converted(rows.column(index), wanted))
    return rows


def _converted(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pt.is_run_end_encoded(column.type):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        column = pa.chunked_array(chunks, column.type.value_type)
    return column if column.type == wanted else column.cast(wanted)


def accept(stream: Stream, rows: pa.Table, key: Sequence[str]) -> tuple[pa.Table, list[Rejected]]:
    """Part the rows that cannot be written, with the reason, from those that can."""
    refused: list[Rejected] = []
    for name in rows.column_names:
        if has_fine_interval(rows.schema.field(name).type):
            rows = _without(
                stream, rows, fine_intervals(rows.column(name)), "interval_too_fine", name, refused
            )
    for name in key:
        bad = pc.indices_nonzero(_null_in_key(rows, name))
        rows = _without(stream, rows, bad, "null_key", name, refused)
    return rows, refused


def _without(
    stream: Stream, rows: pa.Table, bad: pa.Array, code: str, column: str | None, refused: list[Rejected]
) -> pa.Table:
    """Return `rows` without those at the indices `bad`, which join `refused`."""
    if not len(bad):
        return rows
    rows, out = split(rows, bad)
    refused.append(Rejected(stream, out, code, column))
    return rows


def split(rows: pa.Table, bad: pa.Array) -> tuple[pa.Table, pa.Table]:
    """Return the rows that are not at the indices `bad`, and those that are."""
    places = pa.array(range(rows.num_rows), pa.int64())
    out = pc.is_in(places, value_set=bad.cast(pa.int64()))
    return rows.filter(pc.invert(out)), rows.filter(out)


def _null_in_key(rows: pa.Table, name: str) -> pa.ChunkedArray:
    null = rows.column(name).is_null()
    old = rows.column(OLD_KEY)
    return pc.or_(null, pc.and_(old.is_valid(), pc.struct_field(old, name).is_null()))
