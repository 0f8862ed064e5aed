from __future__ import annotations

import base64
import datetime as dt
import json
import math
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core import SchemaError
from etl_snowflake.encoding import hexed, json_text, lines, ndjson, unspeakable

UTC = dt.UTC
MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def nested(value: Any, kind: pa.DataType) -> Any:
    """The oracle: what Python's json is to find in place of a value inside a list, a struct or a map."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {str(key): nested(item, kind.item_type) for key, item in value}
    if pa.types.is_struct(kind):
        return {each.name: nested(value[each.name], each.type) for each in kind}
    if pa.types.is_nested(kind):
        return [nested(item, kind.value_type) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, bytes):
        return value.hex()
    return top(value)


def top(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds") + ("+00:00" if value.tzinfo else "")
    if isinstance(value, dt.time):
        return value.isoformat("microseconds")
    return value.isoformat() if isinstance(value, dt.date) else value


def expected(value: Any, kind: pa.DataType) -> Any:
    """The oracle for a column of its own."""
    if pa.types.is_nested(kind):
        return nested(value, kind)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return base64.b64encode(value).decode() if isinstance(value, bytes) else top(value)


def check(table: pa.Table) -> None:
    found = ndjson(table).splitlines()
    rows = [json.loads(line, parse_float=Decimal) for line in found]
    for name in table.column_names:
        column = table.column(name)
        want = [expected(value, column.type) for value in column.to_pylist()]
        assert [_comparable(row[name]) for row in rows] == [_comparable(value) for value in want]


def _comparable(value: Any) -> Any:
    """Numbers are compared digit by digit, whatever Python made of them."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return Decimal(repr(value) if isinstance(value, float) else value) if number else value


SIMPLE: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    (pa.float32(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
    (pa.string(), st.text()),
    (pa.large_string(), st.text(st.characters(max_codepoint=0x7F))),
    (pa.string_view(), st.text()),
    (pa.binary(), st.binary()),
    (pa.large_binary(), st.binary()),
    (pa.binary_view(), st.binary()),
    (pa.binary(5), st.binary(min_size=5, max_size=5)),
    (pa.date32(), st.dates()),
    (pa.time64("us"), st.times()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    (pa.dictionary(pa.int8(), pa.string()), st.text(max_size=2)),
]
DECIMALS = [pa.decimal128(38, 10), pa.decimal128(10, 2), pa.decimal256(38, 30), pa.decimal64(15, 9)]

_EXACT = Context(prec=76)


def _decimals(kind: pa.DataType) -> st.SearchStrategy[Decimal]:
    whole = st.integers(-(10**kind.precision) + 1, 10**kind.precision - 1)
    return whole.map(lambda number: Decimal(number).scaleb(-kind.scale, _EXACT))


LEAVES = SIMPLE + [(kind, _decimals(kind)) for kind in DECIMALS]
ODD = (pa.float64(), st.floats())


def _deeper(
    leaf: tuple[pa.DataType, st.SearchStrategy[Any]],
) -> list[tuple[pa.DataType, st.SearchStrategy[Any]]]:
    kind, values = leaf
    some = st.none() | values
    entries = st.dictionaries(st.text(max_size=3), some, max_size=3).map(lambda found: list(found.items()))
    fields = st.fixed_dictionaries({'a "b"\\': some, "n": st.none() | st.integers(0, 9)})
    return [
        (pa.list_(kind), st.lists(some, max_size=3)),
        (pa.large_list(kind), st.lists(some, max_size=3)),
        (pa.list_view(kind), st.lists(some, max_size=3)),
        (pa.list_(kind, 2), st.lists(some, min_size=2, max_size=2)),
        (pa.map_(pa.string(), kind), entries),
        (pa.struct([('a "b"\\', kind), ("n", pa.int32())]), fields),
        (
            pa.list_(pa.struct([("x", pa.list_(kind))])),
            st.lists(st.none() | st.fixed_dictionaries({"x": st.lists(some, max_size=2)}), max_size=2),
        ),
    ]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_columns_of_all_types_are_what_python_reads(data: st.DataObject) -> None:
    leaves = [*LEAVES, ODD]
    kind, values = data.draw(
        st.sampled_from(LEAVES) | st.sampled_from(leaves).flatmap(lambda leaf: st.sampled_from(_deeper(leaf)))
    )
    rows = data.draw(st.lists(st.none() | values, max_size=8))
    column = pa.array(rows, kind)
    start = data.draw(st.integers(0, len(rows)))
    check(pa.table({"K": range(len(rows) - start), 'Ü "x"': column.slice(start)}))


def test_rows_in_chunks_and_slices() -> None:
    table = pa.table({"S": ["a", None, "c\n", '"'], "N": [1, 2, None, 4]})
    chunked = pa.concat_tables([table, table.slice(1, 2), table.slice(3)])
    check(chunked)
    check(chunked.slice(2, 4))
    assert ndjson(table.slice(0, 0)) == b""


def test_decimals_have_no_exponent_and_keep_their_digits() -> None:
    tiny = pa.array(
        [Decimal("0.0000000001"), Decimal("-0.0000000005"), None, Decimal("-12.5")], pa.decimal128(38, 10)
    )
    assert json_text(tiny).to_pylist() == ["0.0000000001", "-0.0000000005", None, "-12.5000000000"]
    assert json_text(pa.array([Decimal(1200)], pa.decimal128(5, -2))).to_pylist() == ["1200"]


def test_nanoseconds_and_zones() -> None:
    moment = pa.array([1], pa.timestamp("ns", "Europe/Berlin"))
    table = pa.table(
        {"T": moment, "N": pa.array([-1], pa.timestamp("ns")), "D": pa.array([3], pa.time64("ns"))}
    )
    assert json.loads(ndjson(table)) == {
        "T": "1970-01-01 00:00:00.000000001+00:00",
        "N": "1969-12-31 23:59:59.999999999",
        "D": "00:00:00.000000003",
    }


def test_json_with_line_breaks_stays_on_one_line() -> None:
    text = pa.array(['{\n  "a": "x\\n",\r\n "b": []}', None])
    table = pa.table({"J": pa.ExtensionArray.from_storage(pa.json_(), text)})
    assert [json.loads(line)["J"] for line in ndjson(table).splitlines()] == [{"a": "x\n", "b": []}, None]


def test_other_types() -> None:
    uuid = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16))], pa.binary(16)))
    table = pa.table(
        {
            "J": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": [1.10]}'])),
            "U": uuid,
            "L": pa.ListArray.from_arrays([0, 1], uuid.storage),
            "Z": pa.nulls(1),
            "R": pc.run_end_encode(pa.array([7])),
            "H": pa.array([1.5], pa.float16()),
            "D": pa.array([86_400_000], pa.date64()),
            "M": pa.array([[(1, True)]], pa.map_(pa.int32(), pa.bool_())),
            "E": pa.array([{}], pa.struct([])),
            "X": pa.array([Decimal("1.5")]).dictionary_encode(),
        }
    )
    assert json.loads(ndjson(table)) == {
        "J": {"a": [1.1]},
        "U": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "L": ["000102030405060708090a0b0c0d0e0f"],
        "Z": None,
        "R": 7,
        "H": 1.5,
        "D": "1970-01-02",
        "M": {"1": True},
        "E": {},
        "X": "1.5",
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_never_streamed(value: float) -> None:
    table = pa.table({"A": [1.0], "F": pa.array([value], pa.float32())})
    assert unspeakable(table) == "F"
    assert unspeakable(table.set_column(1, "F", table["F"].dictionary_encode())) == "F"
    with pytest.raises(SchemaError, match="NaN and infinities") as caught:
        ndjson(table)
    assert caught.value.facts == {"column": "F"}
    assert unspeakable(pa.table({"A": [1.0, None], "N": ["x", "y"]})) is None


def test_a_type_without_a_place_in_json() -> None:
    with pytest.raises(SchemaError, match="cannot be written as JSON"):
        ndjson(pa.table({"D": pa.array([1], pa.duration("s"))}))


def test_hex_of_bytes() -> None:
    values = [b"\x00\xff", None, b"", b"abc"]
    assert hexed(pa.chunked_array([values, values[:1]])).to_pylist() == ["00ff", None, "", "616263", "00ff"]
    assert hexed(pa.array([b"ab", b"cd"], pa.binary(2)).slice(1)).to_pylist() == ["6364"]


def test_lines_are_cut_between_rows_with_the_seq_of_the_last() -> None:
    table = pa.table({"S": ["x" * 10, "y" * 10, "z" * 100, "w"]})
    seqs = pa.chunked_array([["01", "02"], ["03", "04"]])
    [encoded] = lines(table, seqs)
    assert (encoded.count, encoded.first, encoded.last) == (4, "01", "04")
    parts = list(encoded.cut(40))
    assert [(part.first, part.last, part.count) for part in parts] == [
        ("01", "02", 2),
        ("03", "03", 1),
        ("04", "04", 1),
    ]
    assert b"".join(part.body for part in parts) == ndjson(table)


def test_many_rows_are_encoded_piece_by_piece() -> None:
    count = 70_000
    found = list(lines(pa.table({"N": range(count)}), pa.array([f"{number:05}" for number in range(count)])))
    assert [(each.first, each.last) for each in found] == [("00000", "65535"), ("65536", "69999")]


@pytest.mark.parametrize("index", [-3, 0, 7])
def test_what_a_null_struct_has_in_its_place_means_nothing(index: int) -> None:
    garbage = pa.DictionaryArray.from_arrays(pa.array([0, index], pa.int8()), pa.array(["x"]), safe=False)
    structs = pa.StructArray.from_arrays([garbage], ["d"], mask=pa.array([False, True]))
    assert ndjson(pa.table({"S": structs})) == b'{"S":{"d":"x"}}\n{"S":null}\n'
