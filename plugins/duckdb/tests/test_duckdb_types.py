"""Every Arrow type either reads back equal or is refused by name."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_core import Mode, SchemaError, Stream, TableSchema, Write
from etl_duckdb.types import handed, sql_type, stored

D = decimal.Decimal


@pytest.fixture(scope="module")
def duck(make_ducks: Any, tmp_path_factory: Any) -> Iterator[Any]:
    """One open destination for all: a table per test."""
    with make_ducks(tmp_path_factory.mktemp("types")) as make:
        yield make().open()


_NUMBERS = itertools.count()


@pytest.fixture
def stream(duck: Any) -> Iterator[Stream]:
    yield Stream("types", f"t{next(_NUMBERS)}")
    duck.destination.abort()


def ext(type: pa.DataType, values: list[Any]) -> pa.Array:
    return pa.ExtensionArray.from_storage(type, pa.array(values, type.storage_type))


def ints(type: pa.DataType, values: list[int | None]) -> pa.Array:
    """Build an array of a type that is an integer underneath, without Python's limits."""
    under = pa.int32() if type.bit_width == 32 else pa.int64()
    return pa.array(values, under).view(type)


I32, I64 = 2**31 - 1, 2**63 - 1
#: Below a null struct, the index points into a dictionary that has nothing.
CODED = pa.struct([("a", pa.dictionary(pa.int8(), pa.string()))])
PLAIN = pa.struct([("a", pa.string())])

EXACT: list[tuple[pa.Array, pa.DataType]] = [
    (pa.array([True, False, None]), pa.bool_()),
    *[
        (pa.array([low, high, None], each), each)
        for each, low, high in [
            (pa.int8(), -128, 127),
            (pa.int16(), -(2**15), 2**15 - 1),
            (pa.int32(), -(2**31), I32),
            (pa.int64(), -(2**63), I64),
            (pa.uint8(), 0, 255),
            (pa.uint16(), 0, 2**16 - 1),
            (pa.uint32(), 0, 2**32 - 1),
            (pa.uint64(), 0, 2**64 - 1),
        ]
    ],
    (pa.array([1.5, -0.0, float("inf"), None], pa.float16()), pa.float32()),
    (pa.array([1.1, float("-inf"), 3.4e38, None], pa.float32()), pa.float32()),
    (pa.array([1.1, float("inf"), 5e-324, 1.7e308, None], pa.float64()), pa.float64()),
    (pa.array([D("1.50"), D("-0.01"), None], pa.decimal32(5, 2)), pa.decimal128(5, 2)),
    (pa.array([D("1.50"), None], pa.decimal64(18, 2)), pa.decimal128(18, 2)),
    (pa.array([D("9" * 28 + "." + "9" * 10), None], pa.decimal128(38, 10)), pa.decimal128(38, 10)),
    (pa.array([D("1200"), None], pa.decimal128(5, -2)), pa.decimal128(7, 0)),
    (pa.array([D("0.00012"), None], pa.decimal128(5, 5)), pa.decimal128(5, 5)),
    (pa.array([D("1.5"), None], pa.decimal256(38, 2)), pa.decimal128(38, 2)),
    (pa.array(["", "a\0b", "é'\"", "x" * 9000, None]), pa.string()),
    (pa.array(["a", None], pa.large_string()), pa.string()),
    (pa.array(["a", "x" * 40, None], pa.string_view()), pa.string()),
    (pa.array([b"", b"\0\xff", None]), pa.binary()),
    (pa.array([b"\0", None], pa.large_binary()), pa.binary()),
    (pa.array([b"\0", b"x" * 40, None], pa.binary_view()), pa.binary()),
    (pa.array([b"abcd", None], pa.binary(4)), pa.binary()),
    (ints(pa.date32(), [0, -I32, I32, -719162, 2932896, None]), pa.date32()),
    (pa.array([dt.date(1999, 12, 31), None], pa.date64()), pa.date32()),
    (pa.array([dt.time(23, 59, 59), None], pa.time32("s")), pa.time64("us")),
    (pa.array([dt.time(23, 59, 59, 999000), None], pa.time32("ms")), pa.time64("us")),
    (ints(pa.time64("us"), [0, 86399999999, 86400000000, None]), pa.time64("us")),
    (ints(pa.time64("ns"), [0, 86399999999999, None]), pa.time64("ns")),
    *[
        (ints(pa.timestamp(unit), [0, -1, 253402300800, I64, -I64, None]), pa.timestamp(unit))
        for unit in ("s", "ms", "us", "ns")
    ],
    (pa.array([0, 253402300800, None], pa.int64()).view(pa.timestamp("s", "UTC")), pa.timestamp("us", "UTC")),
    (pa.array([0, -1, None], pa.int64()).view(pa.timestamp("ms", "Asia/Tokyo")), pa.timestamp("us", "UTC")),
    (
        pa.array([0, I64, -I64, None], pa.int64()).view(pa.timestamp("us", "+02:00")),
        pa.timestamp("us", "UTC"),
    ),
    (pa.array([0, 1, -1, None], pa.int64()).view(pa.timestamp("ns", "UTC")), pa.timestamp("ns", "UTC")),
    (pa.array([pa.MonthDayNano([1, -2, 3000]), None]), pa.month_day_nano_interval()),
    (pa.array([[1, None], [], None], pa.list_(pa.int8())), pa.list_(pa.int8())),
    (pa.array([[1, None], [], None], pa.large_list(pa.int8())), pa.list_(pa.int8())),
    (pa.array([[1, None], [], None], pa.list_view(pa.int8())), pa.list_(pa.int8())),
    (pa.array([[1, None], [], None], pa.large_list_view(pa.int8())), pa.list_(pa.int8())),
    (pa.array([[1.5], None, [None, 2.0]], pa.list_view(pa.float16())), pa.list_(pa.float32())),
    (pa.array([None, [1.5, 2.0], [2.5]], pa.large_list_view(pa.float16())), pa.list_(pa.float32())),
    (pa.array([[None], [], None], pa.list_(CODED)), pa.list_(PLAIN)),
    (
        pa.array([[("k", None)], None, [("l", None)]], pa.map_(pa.string(), CODED)),
        pa.map_(pa.string(), PLAIN),
    ),
    (pa.array([[1, None], None], pa.list_(pa.int8(), 2)), pa.list_(pa.int8(), 2)),
    (pa.array([[], None], pa.list_(pa.int8(), 0)), pa.list_(pa.int8())),
    (pa.array([[[1], None], None], pa.list_(pa.list_(pa.int8()))), pa.list_(pa.list_(pa.int8()))),
    (
        pa.array([{'q"x': 1, "b": None}, None], pa.struct([('q"x', pa.int8()), ("b", pa.string())])),
        pa.struct([('q"x', pa.int8()), ("b", pa.string())]),
    ),
    (
        pa.array([[("a", 1), ("b", None)], [], None], pa.map_(pa.string(), pa.int8())),
        pa.map_(pa.string(), pa.int8()),
    ),
    (pa.array(["a", None, "b"]).dictionary_encode(), pa.string()),
    (pa.nulls(2, pa.dictionary(pa.int8(), pa.string())), pa.string()),
    (pa.array([D("1.5"), None], pa.decimal256(20, 2)).dictionary_encode(), pa.decimal128(20, 2)),
    (pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]), pa.string()),
    (
        pa.array([["a", None], None, []], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        pa.list_(pa.string()),
    ),
    (pa.nulls(3, pa.list_(pa.dictionary(pa.int8(), pa.string()))), pa.list_(pa.string())),
    (pa.array([[1.5], None], pa.list_(pa.float16())), pa.list_(pa.float32())),
    (pa.array([[D("1.5")], None], pa.list_(pa.decimal256(9, 1), 1)), pa.list_(pa.decimal128(9, 1), 1)),
    (
        pa.array([{"a": D("1.5")}, None], pa.struct([("a", pa.decimal256(9, 1))])),
        pa.struct([("a", pa.decimal128(9, 1))]),
    ),
    (pa.array([[("a", 0.5)], None], pa.map_(pa.string(), pa.float16())), pa.map_(pa.string(), pa.float32())),
    (pa.nulls(2), pa.null()),
    (ext(pa.uuid(), [b"0123456789abcdef", b"\xff" * 16, b"\0" * 16, None]), pa.uuid()),
    (ext(pa.json_(), ['{"a": [1, 2.50]}', "null", " 1 ", None]), pa.json_()),
    (ext(pa.json_(pa.large_string()), ["{}", None]), pa.json_()),
    (ext(pa.bool8(), [1, 0, None]), pa.bool_()),
    (ext(pa.opaque(pa.string(), "tsvector", "PostgreSQL"), ["a", None]), pa.string()),
    (ext(pa.fixed_shape_tensor(pa.int8(), [2]), [[1, 2], None]), pa.list_(pa.int8(), 2)),
    (pa.ListArray.from_arrays([0, 1, 2], ext(pa.uuid(), [b"0" * 16, None])), pa.list_(pa.uuid())),
    (pa.ListArray.from_arrays([0, 1, 2], ext(pa.json_(), ["1", None])), pa.list_(pa.json_())),
    (
        pa.array([{"a": {"b": 1}}, None, {"a": None}], pa.struct([("a", pa.struct([("b", pa.int8())]))])),
        pa.struct([("a", pa.struct([("b", pa.int8())]))]),
    ),
    (
        pa.StructArray.from_arrays([ext(pa.uuid(), [b"0" * 16, None])], ["id"]),
        pa.struct([("id", pa.uuid())]),
    ),
]

REFUSED = [
    pa.dense_union([pa.field("a", pa.int8())]),
    pa.sparse_union([pa.field("a", pa.int8())]),
    pa.struct([]),
    pa.struct([("a", pa.int8()), ("A", pa.int8())]),
    pa.list_(pa.run_end_encoded(pa.int32(), pa.string())),
    pa.list_(pa.dense_union([pa.field("a", pa.int8())])),
]


def load(duck: Any, array: pa.Array | pa.ChunkedArray, stream: Stream) -> pa.ChunkedArray:
    """Create a table for a column, load it and read it back."""
    duck.destination.ensure(TableSchema(stream, pa.schema([("v", array.type)])), ())
    refused = duck.destination.write(Write(stream, Mode.APPEND, pa.table({"v": array})))
    assert not refused
    return read(duck, stream)


def read(duck: Any, stream: Stream) -> pa.ChunkedArray:
    db = duck.destination._db()
    table = f"{stream.namespace}.{stream.name}"
    return db._connection.sql(f"SELECT v FROM {table}").to_arrow_table().column("v")


def plain(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return values that compare: what Python's types cannot hold as the integers they are."""
    if pa.types.is_run_end_encoded(array.type):
        array = pa.compute.run_end_decode(array)
    if pa.types.is_date64(array.type):
        array = array.cast(pa.date32())
    if pa.types.is_timestamp(array.type) or pa.types.is_date32(array.type) or pa.types.is_time(array.type):
        return array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64()).to_pylist()
    return array.to_pylist()


@pytest.mark.parametrize(
    ("array", "kept"), EXACT, ids=[f"{n}-{array.type}"[:60] for n, (array, _) in enumerate(EXACT)]
)
def test_values_read_back_equal(duck: Any, stream: Stream, array: pa.Array, kept: pa.DataType) -> None:
    assert stored(array.type) == kept
    assert stored(kept) == kept
    found = load(duck, array, stream)
    wanted = array if pa.types.is_run_end_encoded(array.type) else array.cast(_same_kind(array.type, kept))
    assert plain(found) == plain(wanted)
    assert duck.destination.table(stream).columns.field("v").type == kept


def _same_kind(type: pa.DataType, kept: pa.DataType) -> pa.DataType:
    """Return a type in which both sides count the same units."""
    temporal = pa.types.is_timestamp(type) or pa.types.is_time(type) or pa.types.is_date(type)
    return kept if temporal else type


@pytest.mark.parametrize("type", REFUSED, ids=str)
def test_a_type_duckdb_cannot_keep_is_refused_by_name(duck: Any, stream: Stream, type: pa.DataType) -> None:
    with pytest.raises(SchemaError) as error:
        duck.destination.stored(type)
    assert error.value.facts["type"]
    with pytest.raises(SchemaError):
        duck.destination.ensure(TableSchema(stream, pa.schema([("v", type)])), ())


def test_a_wider_decimal_is_kept_as_its_text(duck: Any, stream: Stream) -> None:
    values = [D("1" * 60 + ".25"), D("-0.01"), None]
    found = load(duck, pa.array(values, pa.decimal256(76, 2)), stream)
    assert [value and D(value) for value in found.to_pylist()] == values
    assert stored(pa.decimal256(76, 2)) == pa.string()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_duration_is_an_interval_of_the_same_length(duck: Any, stream: Stream, unit: str) -> None:
    factor = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[unit]
    values = [0, 90_061_000, -1_500_000 if unit == "ns" else -15, None]
    found = load(duck, pa.array(values, pa.int64()).view(pa.duration(unit)), stream)
    lengths = [None if value is None else value.nanoseconds for value in found.to_pylist()]
    assert lengths == [None if value is None else value * factor for value in values]


FAR = [
    (pa.duration("s"), 9223372036),
    (pa.duration("ms"), 9223372036854),
    (pa.duration("us"), 9223372036854775),
    (pa.timestamp("s", "UTC"), 9223372036854),
    (pa.timestamp("ms", "UTC"), 9223372036854775),
]


@pytest.mark.parametrize(("type", "most"), FAR, ids=str)
def test_a_value_beyond_what_duckdb_counts_is_rejected(
    duck: Any, stream: Stream, type: pa.DataType, most: int
) -> None:
    values = [most, -most, most + 1, -most - 1, I64, None]
    column = pa.chunked_array([pa.array(values[:3], pa.int64()), pa.array(values[3:], pa.int64())]).cast(type)
    duck.destination.ensure(TableSchema(stream, pa.schema([("v", type)])), ())
    refused = duck.destination.write(Write(stream, Mode.APPEND, pa.table({"v": column})))
    assert [(each.code, each.column) for each in refused] == [("out_of_range", "v")]
    assert refused[0].rows.column("v").cast(pa.int64()).to_pylist() == values[2:5]
    assert len(read(duck, stream)) == 3


def _mdn(nanoseconds: int) -> Any:
    return pa.MonthDayNano([1, 2, nanoseconds])


MDN = pa.month_day_nano_interval()
FINE = [
    pa.array([_mdn(1000), _mdn(1001), None, _mdn(-1)], MDN),
    pa.array([1000, 1001, None, -1], pa.int64()).view(pa.duration("ns")),
    pa.array([[_mdn(1000)], [_mdn(0), _mdn(1)], None, [_mdn(-1)]], pa.list_(MDN)),
    pa.array([[_mdn(1000)], [_mdn(1)], None, [_mdn(-1)]], pa.list_(MDN, 1)),
    pa.array([{"a": _mdn(1000)}, {"a": _mdn(1)}, None, {"a": _mdn(-1)}], pa.struct([("a", MDN)])),
    pa.array(
        [{"b": 1, "a": [_mdn(0)]}, {"a": [_mdn(1)]}, None, {"a": [_mdn(-1)]}],
        pa.struct([("b", pa.int8()), ("a", pa.list_(MDN))]),
    ),
    pa.array([[("a", _mdn(0))], [("a", _mdn(1))], None, [("b", _mdn(-1))]], pa.map_(pa.string(), MDN)),
    pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1], pa.int8()), pa.array([_mdn(0), _mdn(1)], MDN)),
]


@pytest.mark.parametrize("array", FINE, ids=lambda array: str(array.type))
@pytest.mark.parametrize("chunked", [False, True])
def test_an_interval_below_a_microsecond_is_rejected_not_cut(
    duck: Any, stream: Stream, array: pa.Array, chunked: bool
) -> None:
    column = pa.chunked_array([array[:1], array[1:]] if chunked else [array])
    duck.destination.ensure(TableSchema(stream, pa.schema([("v", array.type)])), ())
    refused = duck.destination.write(Write(stream, Mode.APPEND, pa.table({"v": column})))
    assert [(each.code, each.column, each.rows.num_rows) for each in refused] == [
        ("interval_too_fine", "v", 2)
    ]
    assert refused[0].rows.column("v").combine_chunks().equals(pa.concat_arrays([array[1:2], array[3:4]]))
    assert len(read(duck, stream)) == 2


def test_sliced_and_chunked_columns_are_read_from_where_they_start(duck: Any) -> None:
    for number, (array, _) in enumerate(EXACT):
        tripled = pa.chunked_array([array[1:], array, array[:1]])
        wanted = [*plain(array)[1:], *plain(array), *plain(array)[:1]]
        found = load(duck, tripled, Stream("sliced", f"t{number}"))
        factor = _factor(array.type, found.type)
        assert plain(found) == [
            value if value is None or factor == 1 else value * factor for value in wanted
        ], array.type


def _factor(type: pa.DataType, kept: pa.DataType) -> float:
    units = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
    if not hasattr(type, "unit") or not hasattr(kept, "unit"):
        return 1
    return units[type.unit] // units[kept.unit]


LEAVES = st.sampled_from(
    [
        pa.int64(),
        pa.string(),
        pa.decimal256(9, 1),
        pa.float16(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.uuid(),
    ]
)
TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        # pyarrow itself cannot decode an empty dictionary below a null of fixed size.
        inner.filter(lambda type: "dictionary" not in str(type)).map(lambda type: pa.list_(type, 2)),
        inner.map(lambda type: pa.struct([("a", type), ('b"', pa.int8())])),
        inner.map(lambda type: pa.map_(pa.string(), type)),
    ),
    max_leaves=3,
)


def _values(type: pa.DataType) -> st.SearchStrategy[Any]:
    some: st.SearchStrategy[Any]
    if pa.types.is_fixed_size_list(type):
        some = st.lists(_values(type.value_type), min_size=2, max_size=2)
    elif pa.types.is_map(type):
        some = st.dictionaries(st.sampled_from("abc"), _values(type.item_type), max_size=2).map(
            lambda d: list(d.items())
        )
    elif pa.types.is_list(type) or pa.types.is_large_list(type):
        some = st.lists(_values(type.value_type), max_size=3)
    elif pa.types.is_struct(type):
        some = st.fixed_dictionaries({field.name: _values(field.type) for field in type})
    else:
        some = st.sampled_from(_SAMPLES[str(type)])
    return st.one_of(st.none(), some)


_SAMPLES: dict[str, list[Any]] = {
    "int64": [0, -5],
    "int8": [1],
    "string": ["", "x" * 20],
    "decimal256(9, 1)": [D("1.5"), D("-0.1")],
    "halffloat": [1.5, -2.0],
    str(pa.dictionary(pa.int8(), pa.string())): ["a", "b"],
    str(pa.uuid()): [b"0123456789abcdef", b"\xff" * 16],
}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nested_types_read_back_equal(duck: Any, data: st.DataObject) -> None:
    duck.destination.abort()
    drawn = data.draw(TYPES)
    column = _array(data.draw(st.lists(_values(drawn), max_size=5)), drawn)
    stream = Stream("nested", f"t{next(_NUMBERS)}")
    start = data.draw(st.integers(0, len(column)))
    found = load(duck, column[start:], stream)
    assert found.to_pylist() == column[start:].to_pylist()
    assert duck.destination.table(stream).columns.field("v").type == stored(drawn)
    assert stored(handed(drawn)) == stored(drawn)
    assert sql_type(drawn) == sql_type(stored(drawn))


def _array(values: list[Any], type: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, type)
    except pa.ArrowNotImplementedError:  # extension types below the top: built as storage
        return pa.nulls(len(values), type)


def test_the_layout_of_intervals_is_what_the_reader_expects() -> None:
    array = pa.array([_mdn(7)], MDN)
    assert struct.unpack("<iiq", array.buffers()[1].to_pybytes()[:16]) == (1, 2, 7)
