"""How long a row is as a line of JSON, at most: found without writing it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from etl_snowflake.jsontext import is_binary, is_text

__all__ = ["byte_length", "longest_line"]

#: A byte of text is six characters at most, where it is escaped.
_ESCAPED = 6
#: No number and no moment is longer.
_SCALAR = 64
_AROUND = 4


def longest_line(rows: pa.Table) -> int:
    """Return a number of bytes that no line is longer than."""
    return sum(_name(field.name) + _longest(rows.column(field.name)) for field in rows.schema)


def byte_length(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return how many bytes each text or binary value has."""
    if column.type in {pa.binary_view(), pa.string_view()}:  # Arrow does not measure these
        column = column.cast(pa.large_binary())
    return pc.binary_length(column)


def _name(name: str) -> int:
    return _ESCAPED * len(name.encode()) + _AROUND


def _longest(column: pa.ChunkedArray) -> int:
    return max((_of(chunk) for chunk in column.chunks if len(chunk)), default=0)


def _of(column: pa.Array) -> int:
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _of(column.storage)
    if pt.is_dictionary(kind):
        return _of(column.dictionary)
    if is_text(kind) or is_binary(kind):
        return _ESCAPED * _most(byte_length(column)) + _AROUND
    if pt.is_struct(kind):
        return sum(_name(field.name) + _of(column.field(n)) for n, field in enumerate(kind)) + _AROUND
    if pt.is_map(kind):
        counts = pc.subtract(column.offsets[1:], column.offsets[:-1])
        return _most(counts) * (_of(column.keys) + _of(column.items) + _AROUND) + _AROUND
    if pt.is_nested(kind):
        return _most(pc.list_value_length(column)) * (_of(column.flatten()) + _AROUND) + _AROUND
    return _SCALAR


def _most(lengths: pa.Array) -> int:
    return int(pc.max(lengths).as_py() or 0)
