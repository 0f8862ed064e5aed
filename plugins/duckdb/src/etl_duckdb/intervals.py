"""Intervals finer than DuckDB's: it counts microseconds and would cut nanoseconds off in silence."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

__all__ = ["fine_intervals", "has_fine_interval"]

_LISTS = (pt.is_list, pt.is_large_list, pt.is_list_view, pt.is_large_list_view, pt.is_fixed_size_list)


def has_fine_interval(type: pa.DataType) -> bool:
    """Say whether values of a type may hold nanoseconds in an interval."""
    if pt.is_interval(type) or type == pa.duration("ns"):
        return True
    if isinstance(type, pa.BaseExtensionType):
        return has_fine_interval(type.storage_type)
    if pt.is_dictionary(type) or pt.is_run_end_encoded(type):
        return has_fine_interval(type.value_type)
    return any(has_fine_interval(type.field(index).type) for index in range(type.num_fields))


def fine_intervals(column: pa.ChunkedArray) -> pa.Array:
    """Return the indices of the rows in which some interval has a fraction of a microsecond."""
    found, first = [pa.array([], pa.int64())], 0
    for chunk in column.chunks:
        found.append(pc.add(_fine(chunk), first))
        first += len(chunk)
    return pc.unique(pa.concat_arrays(found))


def _fine(array: pa.Array) -> pa.Array:
    kind = array.type
    if not has_fine_interval(kind):
        return pa.array([], pa.int64())
    if isinstance(kind, pa.BaseExtensionType):
        return _fine(array.storage)
    if pt.is_dictionary(kind):
        return _fine(array.dictionary_decode())
    if pt.is_run_end_encoded(kind):
        return _fine(pc.run_end_decode(array))
    if pt.is_struct(kind):
        return pa.concat_arrays([_fine(child) for child in array.flatten()])
    if pt.is_map(kind):
        sides = [pa.ListArray.from_arrays(array.offsets, side) for side in (array.keys, array.items)]
        return pa.concat_arrays([_fine(side) for side in sides])
    if any(is_list(kind) for is_list in _LISTS):
        return pc.list_parent_indices(array).cast(pa.int64()).take(_fine(pc.list_flatten(array)))
    return _fine_leaves(array).cast(pa.int64())


def _fine_leaves(array: pa.Array) -> pa.Array:
    nanoseconds = array.cast(pa.int64()) if pt.is_duration(array.type) else _nanoseconds(array)
    whole = pc.multiply(pc.divide(nanoseconds, 1000), 1000)
    return pc.indices_nonzero(pc.and_(array.is_valid(), pc.not_equal(whole, nanoseconds)))


def _nanoseconds(array: pa.Array) -> pa.Array:
    """Return the last eight of each interval's sixteen bytes: months and days are before them."""
    words = pa.Array.from_buffers(
        pa.int64(), 2 * len(array), [None, array.buffers()[1]], offset=2 * array.offset
    )
    return pc.list_element(pa.FixedSizeListArray.from_arrays(words, 2), 1)
