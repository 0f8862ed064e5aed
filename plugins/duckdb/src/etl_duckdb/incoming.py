"""Rows on their way in: in types DuckDB reads, without those whose values it would change."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from etl_core import OLD_KEY, Rejected, Stream
from etl_duckdb.intervals import fine_intervals, has_fine_interval
from etl_duckdb.ranges import beyond, is_bounded
from etl_duckdb.types import handed

__all__ = ["accept", "numbers", "readable", "split"]


def readable(rows: pa.Table) -> pa.Table:
    """Return `rows` with every column as DuckDB reads it; columns that are so already keep their buffers."""
    for index, field in enumerate(rows.schema):
        wanted = handed(field.type)
        if wanted != field.type or _nests(field.type):
            rows = rows.set_column(index, field.name, _converted(rows.column(index), wanted))
    return rows


def _converted(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pt.is_run_end_encoded(column.type):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        column = pa.chunked_array(chunks, column.type.value_type)
    if column.type != wanted:
        column = pa.chunked_array([_cast(chunk, wanted) for chunk in column.chunks], wanted)
    if not _nests(wanted):
        return column
    return pa.chunked_array([pa.concat_arrays([chunk]) for chunk in column.chunks], wanted)


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Cast; what lies below the nulls of a struct, and may be out of bounds, is left out of it."""
    kind = array.type
    if kind == wanted:
        return array
    if pt.is_dictionary(kind) and not len(array.dictionary):
        return pa.nulls(len(array), wanted)
    if pt.is_struct(wanted):
        children = [_cast(child, field.type) for child, field in zip(array.flatten(), wanted, strict=True)]
        return pa.StructArray.from_arrays(children, fields=list(wanted), mask=array.is_null())
    if pt.is_map(wanted):
        array = pa.concat_arrays([array])  # a part of an array becomes a whole one
        sides = _cast(array.keys, wanted.key_type), _cast(array.items, wanted.item_type)
        return pa.MapArray.from_arrays(array.offsets, *sides, wanted, mask=array.is_null())
    if pt.is_large_list(wanted):
        # Not by pyarrow's cast, which loses the values of a list view's last list.
        lengths = pc.fill_null(pc.list_value_length(array).cast(pa.int64()), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
        values = _cast(pc.list_flatten(array), wanted.value_type)
        return pa.LargeListArray.from_arrays(offsets, values, wanted, mask=array.is_null())
    return array.cast(wanted)


def _nests(type: pa.DataType, within: bool = False) -> bool:
    """Whether there is a struct below a struct: DuckDB reads such a one only from an array's beginning."""
    if pt.is_struct(type):
        return within or any(_nests(field.type, True) for field in type)
    if pt.is_map(type):
        return within or _nests(type.key_type, True) or _nests(type.item_type, True)
    return any(_nests(type.field(index).type, within) for index in range(type.num_fields))


def accept(stream: Stream, rows: pa.Table, key: Sequence[str]) -> tuple[pa.Table, list[Rejected]]:
    """Part the rows that cannot be written, with the reason, from those that can."""
    refused: list[Rejected] = []
    for name in rows.column_names:
        if has_fine_interval(rows.schema.field(name).type):
            rows = _without(
                stream, rows, fine_intervals(rows.column(name)), "interval_too_fine", name, refused
            )
        if is_bounded(rows.schema.field(name).type):
            rows = _without(stream, rows, beyond(rows.column(name)), "out_of_range", name, refused)
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
    if not len(bad):
        return rows, rows.slice(0, 0)
    out = pc.is_in(numbers(rows.num_rows), value_set=bad.cast(pa.int64()))
    return rows.filter(pc.invert(out)), rows.filter(out)


def numbers(count: int) -> pa.Array:
    """Return 0, 1, ... below `count`; many times faster than from Python's integers."""
    return pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), count)), 1)


def _null_in_key(rows: pa.Table, name: str) -> pa.ChunkedArray:
    null = rows.column(name).is_null()
    old = rows.column(OLD_KEY)
    return pc.or_(null, pc.and_(old.is_valid(), pc.struct_field(old, name).is_null()))
