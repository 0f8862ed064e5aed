"""Rows as a Parquet file that COPY reads back exactly.

Nested values and JSON are text, which the COPY parses: so a value is the same whichever way it came in.
Moments are microseconds, or text where they are nanoseconds; times of day are text; unsigned 64-bit
integers are decimals: Parquet has types for these that Snowflake does not read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from etl_snowflake.jsontext import is_binary, is_text, json_text, plain

__all__ = ["prepared", "write"]

#: Rows of a row group.
_GROUP = 122_880


def write(rows: pa.Table, path: Path) -> int:
    """Write a file; return its size in bytes."""
    pq.write_table(prepared(rows), path, compression="zstd", row_group_size=_GROUP, store_schema=False)
    return path.stat().st_size


def prepared(rows: pa.Table) -> pa.Table:
    """Return the rows with the types that Parquet and Snowflake share."""
    columns = [_prepared(column) for column in rows.columns]
    return pa.table(columns, names=rows.column_names)


def _prepared(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _prepared(column.cast(kind.value_type))
    if _parsed(kind):
        return json_text(column)
    for test, change in _CHANGES:
        if test(kind):
            return change(column)
    return column


def _parsed(kind: pa.DataType) -> bool:
    """Whether values go as JSON text."""
    if isinstance(kind, pa.BaseExtensionType):
        return bool(kind.extension_name == "arrow.json") or _parsed(kind.storage_type)
    return bool(pa.types.is_nested(kind))


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([plain(chunk) for chunk in column.chunks], pa.string())


def _decimals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    whole = max(0, -kind.scale)
    return column.cast(pa.decimal128(min(38, kind.precision + whole), max(0, kind.scale)))


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.type.unit == "ns":
        return _texts(column)
    return column.cast(pa.timestamp("us", "UTC" if column.type.tz else None))


def _unchanged(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column


_CHANGES: list[tuple[Callable[[pa.DataType], bool], Callable[[pa.ChunkedArray], pa.ChunkedArray]]] = [
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _texts),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_uint64, lambda column: column.cast(pa.decimal128(20, 0))),
    (pa.types.is_floating, lambda column: column.cast(pa.float64())),
    (pa.types.is_timestamp, _moments),
    (pa.types.is_time, _texts),
    (pa.types.is_date, lambda column: column.cast(pa.date32())),
    (is_text, lambda column: column.cast(pa.large_string())),
    (is_binary, lambda column: column.cast(pa.large_binary())),
    (pa.types.is_null, lambda column: column.cast(pa.string())),
    (pa.types.is_integer, lambda column: column.cast(pa.int64())),
    (lambda kind: True, _unchanged),
]
