"""Rows that Snowflake cannot keep, parted from the others before they are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from etl_core import OLD_KEY, RESERVED, Rejected, Stream
from etl_snowflake.jsontext import is_binary, is_text, json_text
from etl_snowflake.lengths import byte_length

__all__ = ["accept"]

#: Snowflake's dates are of the years 1 to 9999.
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_SECONDS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_JSON = msgspec.json.Decoder(msgspec.Raw)
#: The largest BINARY and VARCHAR that every account takes, in bytes.
_BINARY, _TEXT = 8 << 20, 16 << 20

Test = Callable[[pa.ChunkedArray], pa.ChunkedArray | None]


def accept(stream: Stream, rows: pa.Table, key: Sequence[str]) -> tuple[pa.Table, list[Rejected]]:
    """Part the rows that cannot be kept, with the reason, from those that can. `key` must not be null."""
    refused: list[Rejected] = []
    for name in rows.column_names:
        for code, test in _TESTS if name not in RESERVED else ():
            rows = _without(stream, rows, test(_plain(rows.column(name))), code, name, refused)
    for name in key:
        rows = _without(stream, rows, _null_in_key(rows, name), "null_key", name, refused)
    return rows, refused


def _without(
    stream: Stream,
    rows: pa.Table,
    bad: pa.ChunkedArray | None,
    code: str,
    column: str,
    refused: list[Rejected],
) -> pa.Table:
    """Return `rows` without the bad ones, which join `refused`."""
    if bad is None or not pc.any(bad, min_count=0).as_py():
        return rows
    bad = pc.fill_null(bad, False)
    refused.append(Rejected(stream, rows.filter(bad), code, column))
    return rows.filter(pc.invert(bad))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values that a dictionary or an extension stands for; JSON stays what it is."""
    while True:
        if pt.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        elif isinstance(column.type, pa.BaseExtensionType) and not isinstance(column.type, pa.JsonType):
            column = column.cast(column.type.storage_type)
        else:
            return column


def _null_in_key(rows: pa.Table, name: str) -> pa.ChunkedArray | None:
    null = rows.column(name).is_null()
    if OLD_KEY not in rows.column_names or rows.column(OLD_KEY).null_count == rows.num_rows:
        return null if rows.column(name).null_count else None
    old = rows.column(OLD_KEY)
    return pc.or_(null, pc.and_(old.is_valid(), pc.struct_field(old, name).is_null()))


def _beyond(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    kind = column.type
    if pt.is_date32(kind):
        return _outside(column.cast(pa.int32()), _FIRST_DAY, _LAST_DAY)
    if pt.is_date64(kind):
        return _outside(column.cast(pa.int64()), _FIRST_DAY * _DAY * 1000, (_LAST_DAY + 1) * _DAY * 1000 - 1)
    if pt.is_timestamp(kind) and kind.unit != "ns":  # nanoseconds of 64 bits do not reach so far
        each = _DAY * _SECONDS[kind.unit]
        return _outside(column.cast(pa.int64()), _FIRST_DAY * each, (_LAST_DAY + 1) * each - 1)
    return None


def _outside(counts: pa.ChunkedArray, least: int, most: int) -> pa.ChunkedArray:
    return pc.or_(
        pc.less(counts, pa.scalar(least, counts.type)), pc.greater(counts, pa.scalar(most, counts.type))
    )


def _too_long(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    kind = column.type
    if isinstance(kind, pa.JsonType):
        return _longer(column.cast(kind.storage_type), _TEXT)
    if pt.is_nested(kind):  # the longest escapes take six characters for one byte
        return _longer(json_text(column), _TEXT) if column.nbytes * 6 > _TEXT else None
    return (
        _longer(column, _BINARY if is_binary(kind) else _TEXT) if is_binary(kind) or is_text(kind) else None
    )


def _longer(column: pa.ChunkedArray, most: int) -> pa.ChunkedArray | None:
    return pc.greater(byte_length(column), most) if column.nbytes > most else None


def _not_text(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Find texts that are no UTF-8, nested ones too."""
    return _where(column, _is_valid)


def _not_json(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    kind = column.type
    return _where(column.cast(kind.storage_type), _is_json) if isinstance(kind, pa.JsonType) else None


def _is_valid(values: pa.Array) -> bool:
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _is_json(values: pa.Array) -> bool:
    """Parse all values, each as a line: no object is made of what is in them."""
    texts = values.cast(pa.string()).drop_null()
    for end in "\n\r":
        texts = pc.replace_substring(texts, end, " ")
    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "\n")[0]
    try:
        return len(_JSON.decode_lines(lines.as_buffer())) == len(texts)
    except msgspec.DecodeError:
        return False


def _where(column: pa.ChunkedArray, good: Callable[[pa.Array], bool]) -> pa.ChunkedArray | None:
    """Say which values are not good: all are asked about at once first."""
    if all(good(chunk) for chunk in column.chunks):
        return None
    # Taken, not sliced: members of other values are not looked at.
    found = [pa.array([not good(chunk.take([n])) for n in range(len(chunk))]) for chunk in column.chunks]
    return pa.chunked_array(found, pa.bool_())


_TESTS: Sequence[tuple[str, Test]] = (
    ("out_of_range", _beyond),
    ("not_text", _not_text),
    ("too_long", _too_long),
    ("not_json", _not_json),
)
