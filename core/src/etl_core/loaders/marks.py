"""`_etl_unchanged` turned round: for each column that some row did not send, which rows those are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.loaders.keys import arrays_of
from etl_core.loaders.positions import mask_at, places
from etl_core.schema import UNCHANGED_TYPE

__all__ = ["Marks", "mark_column", "marks_of"]

#: By column name: whether each row leaves the column as it is.
Marks = Mapping[str, pa.Array]


def marks_of(column: pa.ChunkedArray) -> Marks:
    """Read `_etl_unchanged`; the columns in order of their names."""
    if column.null_count == len(column):
        return {}
    lists = arrays_of(column)
    names, rows = pc.list_flatten(lists), pc.list_parent_indices(lists)
    return dict(sorted(_masks(names, rows, len(column))))


def _masks(names: pa.DictionaryArray, rows: pa.Array, count: int) -> Iterator[tuple[str, pa.Array]]:
    for code, name in enumerate(names.dictionary.to_pylist()):
        marked = rows.filter(pc.equal(names.indices, pa.scalar(code, names.indices.type)))
        if len(marked):
            yield name, mask_at(marked, count)


def mark_column(marks: Marks, count: int) -> pa.Array:
    """Make `_etl_unchanged` of `count` rows, each row's columns in order of their names."""
    names = sorted(marks)
    if not names:
        return pa.nulls(count, UNCHANGED_TYPE)
    marked = [places(marks[name]) for name in names]
    rows = pa.concat_arrays(marked)
    codes = [pa.repeat(pa.scalar(code, pa.int16()), len(found)) for code, found in enumerate(marked)]
    values = pa.concat_arrays(codes).take(pc.sort_indices(rows))
    lengths = _lengths(marks, count)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])
    entries = pa.DictionaryArray.from_arrays(values, pa.array(names, pa.string()))
    return pa.ListArray.from_arrays(offsets, entries, mask=pc.equal(lengths, pa.scalar(0, pa.int32())))


def _lengths(marks: Marks, count: int) -> pa.Array:
    lengths = pa.repeat(pa.scalar(0, pa.int32()), count)
    for mask in marks.values():
        lengths = pc.add(lengths, mask.cast(pa.int32()))
    return lengths
