"""Times and durations beyond what DuckDB counts: found before one of them fails the whole write."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

__all__ = ["beyond", "is_bounded"]

_MOST = 2**63 - 1
_MICROS = {"s": 10**6, "ms": 10**3, "us": 1, "ns": 1}
#: An interval reads back in nanoseconds.
_NANOS = {unit: 1000 * count for unit, count in _MICROS.items()} | {"ns": 1}


def is_bounded(type: pa.DataType) -> bool:
    """Say whether a column of a type may hold values that its column in DuckDB does not."""
    return _most(type) < _MOST


def beyond(column: pa.ChunkedArray) -> pa.Array:
    """Return the indices of the rows whose value is too far from zero."""
    most = _most(column.type)
    counts = column.cast(pa.int64()).combine_chunks()
    far = pc.or_(pc.greater(counts, most), pc.less(counts, -most))
    return pc.indices_nonzero(pc.fill_null(far, False)).cast(pa.int64())


def _most(type: pa.DataType) -> int:
    """Return the highest count, and the lowest without its sign, that is kept."""
    if pt.is_timestamp(type) and type.tz is not None:
        # The two ends of the range are DuckDB's infinities.
        return (_MOST - 1) // _MICROS[type.unit] if _MICROS[type.unit] > 1 else _MOST
    if pt.is_duration(type):
        return _MOST // _NANOS[type.unit]
    return _MOST
