"""Values as JSON text, by Arrow's own kernels: no Python object per value, and nothing but pyarrow.

Every function takes an array and returns one of strings with a null where the value was null. Numbers are
exact: integers and decimals digit by digit without an exponent, floats with the fewest digits that read
back the same. JSON has no NaN and no infinities: inside lists, structs and maps they are the strings "NaN",
"inf" and "-inf", which Snowflake casts to FLOAT. Binary values inside them are strings of hex digits, and
moments are written in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from etl_core import SchemaError

__all__ = ["compact", "hexed", "inner", "is_binary", "is_string", "join", "json_text", "quoted", "rebuilt"]

#: What a JSON string must not hold as it is, and how it is written there; the backslash comes first.
_ESCAPES = {
    0x5C: "\\\\",
    0x22: '\\"',
    **{code: f"\\u{code:04x}" for code in range(0x20)},
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
}
_ORDINARY = bytes(code for code in range(256) if code not in _ESCAPES)
#: From this scale on, Arrow writes small decimals with an exponent.
_EXPONENTS = 7


def json_text(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return each value as JSON text; null stays null. Raises SchemaError for types JSON has no place for."""
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([json_text(chunk) for chunk in column.chunks], pa.string())
    kind = column.type
    write = next((write for test, write in _WRITERS if test(kind)), quoted)
    return write(column)


def quoted(column: pa.Array) -> pa.Array:
    """Return each value's text as a JSON string."""
    return join('"', inner(column), '"')


def inner(column: pa.Array) -> pa.Array:
    """Return what stands between the quotes of each value's JSON string."""
    texts = plain(column)
    return escaped(texts) if is_text(column.type) or pa.types.is_dictionary(column.type) else texts


def plain(column: pa.Array) -> pa.Array:
    """Return each value's text, as Snowflake reads it into a column of its type."""
    kind = column.type
    write = next((write for test, write in _TEXTS if test(kind)), None)
    if write is None:
        raise SchemaError(
            "a type cannot be written as JSON", "cast the column in a transform", type=str(kind)
        )
    return write(column)


def escaped(texts: pa.Array) -> pa.Array:
    """Write what JSON strings may not hold as escapes; looks first which of it occurs."""
    for code in sorted(_specials(texts), key=lambda code: code != 0x5C):
        texts = pc.replace_substring(texts, chr(code), _ESCAPES[code])
    return texts


def _specials(texts: pa.Array) -> set[int]:
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return set()
    bounds = memoryview(offsets).cast("i")
    view = memoryview(data)[bounds[texts.offset] : bounds[texts.offset + len(texts)]]
    return set(bytes(view).translate(None, _ORDINARY))


def hexed(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return binary values as text of lower-case hex digits; null stays null."""
    if isinstance(column, pa.ChunkedArray):
        return pa.chunked_array([hexed(chunk) for chunk in column.chunks], pa.string())
    starts, data = compact(column)
    return rebuilt(column, pc.multiply_checked(starts, pa.scalar(2, pa.int32())), data.hex().encode())


def compact(column: pa.Array) -> tuple[pa.Array, memoryview]:
    """Return the offsets of binary values, from 0, and the bytes that they point into."""
    column = column.cast(pa.binary())
    _, offsets, data = column.buffers()
    found = pa.Array.from_buffers(pa.int32(), len(column) + 1, [None, offsets], offset=column.offset)
    view = memoryview(data or b"")[found[0].as_py() : found[len(column)].as_py()]
    return pc.subtract(found, found[0]), view


def rebuilt(column: pa.Array, offsets: pa.Array, data: bytes) -> pa.Array:
    """Return strings with these offsets and this data, null where `column` is."""
    made = pa.Array.from_buffers(pa.string(), len(column), [None, offsets.buffers()[1], pa.py_buffer(data)])
    return _masked(column, made)


def _masked(column: pa.Array, made: pa.Array) -> pa.Array:
    return pc.if_else(column.is_valid(), made, pa.scalar(None, pa.string())) if column.null_count else made


def join(*parts: Any, nulls: str | None = None) -> pa.Array:
    """Join the texts of each row; `nulls` stands for a null, which else makes the whole null.

    A text that is the same for all has to have a type: Arrow takes a tenth of a millisecond to guess one.
    """
    known = [pa.scalar(part, pa.string()) if isinstance(part, str) else part for part in (*parts, "")]
    if nulls is None:
        return pc.binary_join_element_wise(*known)
    return pc.binary_join_element_wise(*known, null_handling="replace", null_replacement=nulls)


def _filled(column: pa.Array) -> pa.Array:
    return json_text(column).fill_null("null")


def _floats(column: pa.Array) -> pa.Array:
    doubles = column.cast(pa.float64())
    words = doubles.cast(pa.string())
    odd = pc.invert(pc.is_finite(doubles))
    if pc.any(odd).as_py():
        named = pc.if_else(pc.is_nan(doubles), '"NaN"', pc.if_else(pc.greater(doubles, 0), '"inf"', '"-inf"'))
        words = pc.if_else(odd, named, words)
    return words


def _decimals(column: pa.Array) -> pa.Array:
    kind = column.type
    if kind.scale < 0:
        return _decimals(column.cast(pa.decimal256(min(76, kind.precision - kind.scale), 0)))
    if kind.scale < _EXPONENTS:
        return column.cast(pa.string())
    return _without_exponent(column)


def _without_exponent(column: pa.Array) -> pa.Array:
    """Write the digits of the unscaled number, and put the point where it belongs."""
    scale = column.type.scale
    column = column.cast(pa.decimal256(76, scale))
    whole = pa.decimal256(76, 0)
    bare = pa.Array.from_buffers(whole, len(column), column.buffers(), offset=column.offset)
    digits = pc.ascii_lpad(pc.abs(bare).cast(pa.string()), scale + 1, "0")
    sign = pc.if_else(pc.less(bare, pa.scalar(0).cast(whole)), "-", "")
    before, after = (pc.utf8_slice_codeunits(digits, *part) for part in ((0, -scale), (-scale, None)))
    return join(sign, before, ".", after)


def _moments(column: pa.Array) -> pa.Array:
    """Arrow keeps moments in UTC. The form with a zone is one that Snowflake's documentation shows."""
    if column.type.tz is None:
        return column.cast(pa.string())
    return join(column.cast(pa.timestamp(column.type.unit)).cast(pa.string()), "+00:00")


def _lists(column: pa.Array) -> pa.Array:
    return _joined(column, pc.list_value_length(column), "[", _filled(column.flatten()), "]")


def _maps(column: pa.Array) -> pa.Array:
    first, last = column.offsets[0].as_py(), column.offsets[len(column)].as_py()
    keys, items = (values.slice(first, last - first) for values in (column.keys, column.items))
    lengths = pc.subtract(column.offsets.slice(1), column.offsets.slice(0, len(column)))
    return _joined(column, lengths, "{", join(quoted(keys), ":", _filled(items)), "}")


def _joined(column: pa.Array, lengths: pa.Array, opening: str, texts: pa.Array, closing: str) -> pa.Array:
    """Join so many of the texts for each value."""
    ends = pc.cumulative_sum_checked(lengths.fill_null(0).cast(pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
    return _masked(
        column, join(opening, pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ","), closing)
    )


def _structs(column: pa.Array) -> pa.Array:
    parts: list[Any] = []
    for number, field in enumerate(column.type):
        parts += [f"{',' if number else '{'}{_string(field.name)}:", json_text(column.field(number))]
    if not parts:
        return _masked(column, pa.repeat(pa.scalar("{}"), len(column)))
    return _masked(column, join(*parts, "}", nulls="null"))


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _extensions(column: pa.Array) -> pa.Array:
    match column.type.extension_name:
        case "arrow.json":
            return _on_one_line(plain(column.storage))
        case "arrow.uuid":
            return quoted(column)
    return json_text(column.storage)


def is_string(kind: pa.DataType) -> bool:
    """Whether values are JSON strings."""
    return not any(test(kind) for test, _ in _WRITERS)


def _on_one_line(texts: pa.Array) -> pa.Array:
    """Put JSON text on one line: a line break can only be between its values."""
    for code in _specials(texts) & {0x0A, 0x0D}:
        texts = pc.replace_substring(texts, chr(code), " ")
    return texts


def _extended(column: pa.Array) -> pa.Array:
    if column.type.extension_name != "arrow.uuid":
        return plain(column.storage)
    digits = hexed(column.storage)
    parts = [
        pc.utf8_slice_codeunits(digits, *part) for part in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    ]
    return pc.binary_join_element_wise(*parts, "-")


def _taken(column: pa.Array, write: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Write the dictionary's values once. Under a null parent an index may be anything, and means nothing."""
    indices = column.indices.cast(pa.int64(), safe=False)
    first, beyond = (pa.scalar(bound, pa.int64()) for bound in (0, len(column.dictionary)))
    known = pc.and_(pc.greater_equal(indices, first), pc.less(indices, beyond))
    return write(column.dictionary).take(pc.if_else(known, indices, pa.scalar(None, pa.int64())))


def _is_list(kind: pa.DataType) -> bool:
    test = pa.types
    views = test.is_list_view(kind) or test.is_large_list_view(kind)
    return bool(views or test.is_list(kind) or test.is_large_list(kind) or test.is_fixed_size_list(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether values are text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether values are bytes."""
    test = pa.types
    sized = test.is_fixed_size_binary(kind) or test.is_binary_view(kind)
    return bool(sized or test.is_binary(kind) or test.is_large_binary(kind))


def _is_extension(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType)


def _as_string(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


_Table = list[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]]]

#: How a type's values are written, for those that are no JSON strings.
_WRITERS: _Table = [
    (_is_extension, _extensions),
    (pa.types.is_dictionary, lambda column: _taken(column, json_text)),
    (pa.types.is_run_end_encoded, lambda column: json_text(pc.run_end_decode(column))),
    (pa.types.is_null, _as_string),
    (pa.types.is_boolean, _as_string),
    (pa.types.is_integer, _as_string),
    (pa.types.is_floating, _floats),
    (pa.types.is_decimal, _decimals),
    (_is_list, _lists),
    (pa.types.is_map, _maps),
    (pa.types.is_struct, _structs),
]

#: How a type's values are written as text.
_TEXTS: _Table = [
    (is_text, _as_string),
    (is_binary, hexed),
    (pa.types.is_timestamp, _moments),
    (pa.types.is_date, lambda column: column.cast(pa.date32()).cast(pa.string())),
    (pa.types.is_time, _as_string),
    (pa.types.is_decimal, _decimals),
    (pa.types.is_boolean, _as_string),
    (pa.types.is_integer, _as_string),
    (pa.types.is_floating, _as_string),
    (_is_extension, _extended),
    (pa.types.is_dictionary, lambda column: _taken(column, plain)),
]
