"""Rows as NDJSON, columnwise, and cut into requests.

Each column becomes JSON text by `jsontext`, and one kernel joins them into lines, whose data buffer is the
request's body. That costs about what polars or duckdb need for the same rows, an eighth of dicts, needs
neither of them, and leaves every rule to us: decimals as text, exact; BINARY columns in the format that the
pipe takes, base64 or hex; nulls written out; nested values with their own nulls. A FLOAT column's NaN or
infinity has no place in NDJSON and is never made null: `unspeakable` finds it first, and such rows go in by
COPY.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from etl_core import SchemaError
from etl_snowflake.jsontext import compact, hexed, inner, is_binary, is_string, join, json_text, rebuilt
from etl_snowflake.lengths import longest_line

__all__ = ["Binary", "Lines", "hexed", "is_speakable", "json_text", "lines", "ndjson", "unspeakable"]

#: How the service wants bytes written.
Binary = Literal["base64", "hex"]

#: Rows whose lines are made in one go.
_ROWS = 65536
#: Bytes of a line that every way of streaming takes.
_LONGEST_LINE = 3_000_000


@frozen(eq=False)
class Lines:
    """Encoded rows with the seq (hex) of each; at least one."""

    text: pa.Array
    """Strings: one JSON object each, with its line break."""
    seqs: pa.Array

    @property
    def count(self) -> int:
        return len(self.text)

    @property
    def first(self) -> str:
        return str(self.seqs[0])

    @property
    def last(self) -> str:
        return str(self.seqs[-1])

    @property
    def body(self) -> memoryview:
        """The lines one after another, in place."""
        return compact(self.text)[1]

    def cut(self, most: int) -> Iterator[Lines]:
        """Cut them into parts of at most so many bytes; a longer line is a part of its own."""
        ends = compact(self.text)[0].slice(1)
        start = 0
        while start < len(ends):
            stop = max(start + 1, _count_up_to(ends, most + (ends[start - 1].as_py() if start else 0)))
            yield Lines(self.text.slice(start, stop - start), self.seqs.slice(start, stop - start))
            start = stop


def _count_up_to(ends: pa.Array, most: int) -> int:
    return int(pc.sum(pc.less_equal(ends, most)).as_py())


def lines(rows: pa.Table, seqs: pa.ChunkedArray | pa.Array, binary: Binary = "base64") -> Iterator[Lines]:
    """Encode rows, with the seqs (hex) that stand for them. Raises SchemaError for what NDJSON cannot say."""
    _refuse(unspeakable(rows))
    start = 0
    for batch in rows.to_batches(max_chunksize=_ROWS):
        part = seqs.slice(start, len(batch))
        start += len(batch)
        if len(batch):
            yield Lines(_encoded(batch, binary), _whole(part))


def ndjson(rows: pa.Table) -> bytes:
    """Return one JSON object per row, each on a line. Raises SchemaError for what NDJSON cannot say."""
    _refuse(unspeakable(rows))
    batches = rows.to_batches(max_chunksize=_ROWS)
    return b"".join(compact(_encoded(batch))[1] for batch in batches if len(batch))


def _refuse(column: str | None) -> None:
    if column is not None:
        raise SchemaError("NaN and infinities cannot be streamed", "load such rows by COPY", column=column)


def unspeakable(rows: pa.Table) -> str | None:
    """Return the first column of floats that holds NaN or an infinity: those rows go in by COPY."""
    return next((name for name in rows.column_names if _has_odd_floats(rows.column(name))), None)


def is_speakable(rows: pa.Table) -> bool:
    """Whether rows can be streamed: neither NaN nor an infinity, and no line that is too long."""
    return longest_line(rows) < _LONGEST_LINE and unspeakable(rows) is None


def _has_odd_floats(column: pa.ChunkedArray) -> bool:
    if pa.types.is_dictionary(column.type) and pa.types.is_floating(column.type.value_type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_floating(column.type):
        return False
    finite = pc.is_finite(column.cast(pa.float64()))
    return pc.all(finite, min_count=0).as_py() is False


def _encoded(batch: pa.RecordBatch, binary: Binary = "base64") -> pa.Array:
    parts: list[Any] = []
    between = "{"
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        before, values, after = _value(column, binary)
        parts += [f"{between}{json.dumps(name, ensure_ascii=False)}:{before}", values]
        between = f"{after},"
    parts.append(between.removesuffix(",") + "}\n")
    return join(*parts, nulls="null")


def _value(column: pa.Array, binary: Binary) -> tuple[str, pa.Array, str]:
    """Write a column's values as a column of their type reads them, and what stands before and after each.

    Quotes are the line's where no value is null: that saves making the strings once more.
    """
    kind = column.type
    if is_binary(kind):
        texts = base64(column) if binary == "base64" else hexed(column)
    elif pa.types.is_decimal(kind) or is_string(kind):
        texts = inner(column)
    elif pa.types.is_dictionary(kind):
        return _value(column.dictionary_decode(), binary)
    else:
        return "", json_text(column), ""
    if column.null_count == 0:
        return '"', texts, '"'
    return "", join('"', texts, '"'), ""


def base64(column: pa.Array) -> pa.Array:
    """Return binary values as base64: padded to threes, encoded all at once, then the padding as such."""
    column = column.cast(pa.binary())
    missing = _missing(column)
    padding = pa.array([b"", b"\0", b"\0\0"], pa.binary()).take(missing.fill_null(0))
    starts, data = compact(
        pc.binary_join_element_wise(
            column.fill_null(pa.scalar(b"", pa.binary())), padding, pa.scalar(b"", pa.binary())
        )
    )
    quarters = pc.multiply_checked(pc.divide(starts, _int(3)), _int(4))
    text = rebuilt(column, quarters, binascii.b2a_base64(data, newline=False))
    for count in (1, 2):
        padded = join(pc.utf8_slice_codeunits(text, 0, -count), "=" * count)
        text = pc.if_else(pc.equal(missing, _int(count)), padded, text)
    return text


def _missing(column: pa.Array) -> pa.Array:
    """Count the bytes that each value lacks to a multiple of three."""
    length = pc.binary_length(column)
    threes = pc.multiply(pc.divide(pc.add(length, _int(2)), _int(3)), _int(3))
    return pc.subtract(threes, length)


def _int(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.int32())


def _whole(seqs: pa.ChunkedArray | pa.Array) -> pa.Array:
    whole = seqs.combine_chunks() if isinstance(seqs, pa.ChunkedArray) else seqs
    return whole.cast(pa.string())
