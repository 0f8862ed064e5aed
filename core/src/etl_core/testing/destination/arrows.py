"""The Arrow types a source may send, by family, each with its extremes and with nulls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

__all__ = ["FAMILIES", "samples"]

_UNITS = ("s", "ms", "us", "ns")
_MOST = 2**63 - 1
#: 9999-12-31T23:59:59 and 0001-01-01, in seconds: what most systems and languages have at least.
_LAST, _FIRST = 253402300799, -62135596800
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_TEXTS = [
    "",
    " ",
    "a\0b",
    "\0",
    "é 漢字 😀 \u202e",
    "quote ' \" \\ ;--",
    "NULL",
    "line\r\nline\t",
    "x" * 2**20,
    None,
]
_BYTES = [b"", b"\0\xff", bytes(range(256)), b"\x80" * 2**20, None]


def samples(family: str) -> list[pa.Array]:
    """Return arrays of the types of a family."""
    return list(FAMILIES[family]())


def _booleans() -> Iterator[pa.Array]:
    yield pa.array([True, False, None])


def _integers() -> Iterator[pa.Array]:
    for bits in (8, 16, 32, 64):
        signed, unsigned = getattr(pa, f"int{bits}")(), getattr(pa, f"uint{bits}")()
        most = 2 ** (bits - 1) - 1
        beyond = [2**53 + 1, -(2**53) - 1] if bits == 64 else []  # what a float has not
        yield pa.array([-most - 1, -1, 0, most - 1, most, *beyond, None], signed)
        yield pa.array([0, most + 1, 2**bits - 2, 2**bits - 1, None], unsigned)


def _floats() -> Iterator[pa.Array]:
    special: list[Any] = [0.0, -0.0, 1.5, float("inf"), float("-inf"), float("nan"), None]
    for kind, extremes in (
        (pa.float16(), [65504.0, 6e-8]),
        (pa.float32(), [3.4028234663852886e38, 1e-45]),
        (pa.float64(), [1.7976931348623157e308, 5e-324, 0.1]),
    ):
        yield pa.array(special + extremes, kind)


def _decimals() -> Iterator[pa.Array]:
    widths: list[tuple[Any, int, int]] = [
        (pa.decimal128, 1, 0),
        (pa.decimal128, 5, 5),
        (pa.decimal128, 12, 2),
        (pa.decimal128, 38, 0),
        (pa.decimal128, 38, 10),
        (pa.decimal128, 38, 38),
        (pa.decimal256, 20, 4),
        (pa.decimal256, 76, 0),
        (pa.decimal256, 76, 38),
    ]
    for make, precision, scale in widths:
        most = Decimal((0, (9,) * precision, -scale))
        least = Decimal((0, (1,), -scale))
        yield pa.array([most, most.copy_negate(), least, Decimal(0), None], make(precision, scale))


def _texts() -> Iterator[pa.Array]:
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        yield pa.array(_TEXTS, kind)


def _binaries() -> Iterator[pa.Array]:
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        yield pa.array(_BYTES, kind)
    yield pa.array([b"\0\xff\x80 a", b"12345", None], pa.binary(5))


def _dates_and_times() -> Iterator[pa.Array]:
    yield pa.array([dt.date(1, 1, 1), dt.date(1970, 1, 1), dt.date(9999, 12, 31), None])
    yield _counts(pa.date32(), [2**31 - 1, -(2**31), 0, None])
    yield _counts(pa.date64(), [_FIRST * 1000, 0, (_LAST + 1 - _DAY) * 1000, None])
    for unit in _UNITS:
        kind = pa.time32 if unit in {"s", "ms"} else pa.time64
        yield _counts(kind(unit), [0, 1, _DAY * _PER_SECOND[unit] - 1, None])


def _timestamps() -> Iterator[pa.Array]:
    for zone in (None, "UTC", "Asia/Tokyo", "-03:30"):
        for unit in _UNITS:
            counts: list[int | None] = [0, 1, -1, None]
            if unit != "ns":
                counts += [_FIRST * _PER_SECOND[unit], (_LAST + 1) * _PER_SECOND[unit] - 1]
            yield _counts(pa.timestamp(unit, zone), counts)


def _extreme_timestamps() -> Iterator[pa.Array]:
    for zone in (None, "UTC"):
        for unit in _UNITS:
            yield _counts(pa.timestamp(unit, zone), [_MOST, -_MOST, None])


def _durations() -> Iterator[pa.Array]:
    for unit in _UNITS:
        yield _counts(pa.duration(unit), [0, 1, -1, 90 * _DAY * _PER_SECOND[unit], None])
        yield _counts(pa.duration(unit), [_MOST, -_MOST, None])
    yield pa.array([pa.MonthDayNano([1, -2, 3000]), pa.MonthDayNano([0, 0, 0]), None])
    yield pa.array([pa.MonthDayNano([0, 0, 1]), None])


def _lists() -> Iterator[pa.Array]:
    values = [[1, None], [], None, [2]]
    for make in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view):
        yield pa.array(values, make(pa.int32()))
        yield pa.array([["", None, "é"], None], make(pa.string()))
        yield pa.array([[[1, None], None, []], [], None], make(make(pa.int16())))
    yield pa.array([[1, None], None, [3, 4]], pa.list_(pa.int32(), 2))
    yield pa.array([[Decimal("1.50"), None], None], pa.list_(pa.decimal128(9, 2)))
    yield pa.array([[0, None], None], pa.list_(pa.timestamp("us", "UTC")))


def _structs_and_maps() -> Iterator[pa.Array]:
    pair = pa.struct([("a", pa.int32()), ("B c", pa.string())])
    rows = [{"a": 1, "B c": "x"}, {"a": None, "B c": None}, None]
    yield pa.array(rows, pair)
    yield pa.array([*({"in": each} for each in rows), None], pa.struct([("in", pair)]))
    yield pa.array([rows, [], None], pa.list_(pair))
    yield pa.array([{"l": [1, None]}, {"l": None}, None], pa.struct([("l", pa.list_(pa.int32()))]))
    yield pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int32()))
    yield pa.array([[(1, rows[0]), (2, None)], None], pa.map_(pa.int32(), pair))
    yield pa.array([{"m": [("a", [1])]}, None], pa.struct([("m", pa.map_(pa.string(), pa.list_(pa.int8())))]))


def _dictionaries() -> Iterator[pa.Array]:
    for values in (["a", None, "b", "a"], [7, None, 7, -1], [b"x", None, b""]):
        yield pa.array(values).dictionary_encode()
    yield pa.nulls(2, pa.dictionary(pa.int8(), pa.string()))
    yield pa.array([["a", None], None, []], pa.list_(pa.dictionary(pa.int16(), pa.string())))


def _other_encodings() -> Iterator[pa.Array]:
    yield pa.nulls(3)
    yield pa.RunEndEncodedArray.from_arrays([2, 3, 5], ["a", None, ""])
    yield pa.RunEndEncodedArray.from_arrays(pa.array([1, 4], pa.int64()), pa.array([None, 2**40]))


def _counts(type: pa.DataType, counts: Sequence[int | None]) -> pa.Array:
    """Make an array of a type that counts underneath, beyond what Python's types hold."""
    return pa.array(counts, pa.int32() if type.bit_width == 32 else pa.int64()).view(type)


#: What makes the arrays of each family.
FAMILIES = {
    "booleans": _booleans,
    "integers": _integers,
    "floats": _floats,
    "decimals": _decimals,
    "texts": _texts,
    "binaries": _binaries,
    "dates and times": _dates_and_times,
    "timestamps": _timestamps,
    "extreme timestamps": _extreme_timestamps,
    "durations and intervals": _durations,
    "lists": _lists,
    "structs and maps": _structs_and_maps,
    "dictionaries": _dictionaries,
    "null and run-end encoded": _other_encodings,
}
