from __future__ import annotations

import decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlglot

from etl_core import SchemaError
from etl_snowflake import types
from etl_snowflake.client import Session
from etl_snowflake.types import sql_type, stored

_ARROW = [
    (pa.bool_(), "BOOLEAN", pa.bool_()),
    (pa.bool8(), "BOOLEAN", pa.bool_()),
    (pa.int8(), "NUMBER(3,0)", pa.int8()),
    (pa.int16(), "NUMBER(5,0)", pa.int16()),
    (pa.int32(), "NUMBER(10,0)", pa.int32()),
    (pa.int64(), "NUMBER(19,0)", pa.int64()),
    (pa.uint8(), "NUMBER(3,0)", pa.uint8()),
    (pa.uint64(), "NUMBER(20,0)", pa.uint64()),
    (pa.float16(), "FLOAT", pa.float64()),
    (pa.float32(), "FLOAT", pa.float64()),
    (pa.float64(), "FLOAT", pa.float64()),
    (pa.decimal128(38, 10), "NUMBER(38,10)", pa.decimal128(38, 10)),
    (pa.decimal256(20, 2), "NUMBER(20,2)", pa.decimal128(20, 2)),
    (pa.decimal128(5, -2), "NUMBER(7,0)", pa.decimal128(7, 0)),
    (pa.decimal128(3, 5), "NUMBER(5,5)", pa.decimal128(5, 5)),
    (pa.string(), "VARCHAR", pa.string()),
    (pa.large_string(), "VARCHAR", pa.string()),
    (pa.string_view(), "VARCHAR", pa.string()),
    (pa.null(), "VARCHAR", pa.string()),
    (pa.uuid(), "VARCHAR", pa.string()),
    (pa.binary(), "BINARY", pa.binary()),
    (pa.binary(20), "BINARY", pa.binary()),
    (pa.large_binary(), "BINARY", pa.binary()),
    (pa.date32(), "DATE", pa.date32()),
    (pa.date64(), "DATE", pa.date32()),
    (pa.time32("s"), "TIME(9)", pa.time64("us")),
    (pa.time64("ns"), "TIME(9)", pa.time64("ns")),
    (pa.timestamp("s"), "TIMESTAMP_NTZ(9)", pa.timestamp("us")),
    (pa.timestamp("ns"), "TIMESTAMP_NTZ(9)", pa.timestamp("ns")),
    (pa.timestamp("ms", "Europe/Berlin"), "TIMESTAMP_TZ(9)", pa.timestamp("us", "UTC")),
    (pa.timestamp("ns", "UTC"), "TIMESTAMP_TZ(9)", pa.timestamp("ns", "UTC")),
    (pa.json_(), "VARIANT", pa.json_()),
    (pa.json_(pa.large_string()), "VARIANT", pa.json_()),
    (pa.list_(pa.float32()), "ARRAY", pa.list_(pa.float64())),
    (pa.large_list(pa.list_view(pa.int8())), "ARRAY", pa.list_(pa.list_(pa.int8()))),
    (pa.list_(pa.int8(), 3), "ARRAY", pa.list_(pa.int8())),
    (pa.struct({"a": pa.large_string()}), "OBJECT", pa.struct({"a": pa.string()})),
    (pa.map_(pa.string(), pa.int8()), "OBJECT", pa.map_(pa.string(), pa.int8())),
    (pa.dictionary(pa.int8(), pa.string()), "VARCHAR", pa.string()),
    (pa.run_end_encoded(pa.int16(), pa.int32()), "NUMBER(10,0)", pa.int32()),
    (pa.opaque(pa.string(), "geography", "postgis"), "VARCHAR", pa.string()),
]


@pytest.mark.parametrize(("arrow", "kind", "back"), _ARROW, ids=str)
def test_types(arrow: pa.DataType, kind: str, back: pa.DataType) -> None:
    assert sql_type(arrow) == kind
    assert stored(arrow) == back
    assert stored(back) == back, "what reads back is not kept as itself"
    assert sql_type(back) == kind


@pytest.mark.parametrize(
    "arrow",
    [
        pa.duration("us"),
        pa.month_day_nano_interval(),
        pa.decimal256(50, 0),
        pa.decimal128(38, 38),
        pa.list_(pa.duration("s")),
        pa.struct([pa.field("a", pa.int8()), pa.field("a", pa.int8())]),
        pa.struct([]),
        pa.sparse_union([pa.field("a", pa.int8())]),
    ],
    ids=str,
)
def test_types_that_are_refused_by_name(arrow: pa.DataType) -> None:
    if arrow == pa.struct([]):
        assert sql_type(arrow) == "OBJECT"
        return
    with pytest.raises(SchemaError, match="cannot keep"):
        stored(arrow)
    with pytest.raises(SchemaError) as caught:
        types.kept(pa.field("odd", arrow))
    assert caught.value.facts["column"] == "odd"
    assert caught.value.facts["type"]


def test_every_type_comes_back_from_its_own_column(session: Session, schema: str) -> None:
    """INFORMATION_SCHEMA tells of each column what it was made as."""
    columns = ", ".join(f"C{n} {sql_type(arrow)}" for n, (arrow, _, _) in enumerate(_ARROW))
    session.execute(f"CREATE TABLE {schema}.T ({columns})")
    told = session.execute(
        "SELECT DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE FROM INFORMATION_SCHEMA.COLUMNS"
        f" WHERE TABLE_SCHEMA = '{schema}' AND TABLE_NAME = 'T' ORDER BY ORDINAL_POSITION"
    )
    assert len(told) == len(_ARROW)
    for (arrow, kind, _), column in zip(_ARROW, told, strict=True):
        assert types.same_column(arrow, *column), column
        alone = types.described(*column)
        if kind.startswith("NUMBER"):
            assert sql_type(alone) == kind
        assert stored(alone) == alone


def test_a_column_of_another_type_is_told_apart() -> None:
    assert not types.same_column(pa.int32(), "NUMBER", 19, 0)
    assert not types.same_column(pa.int32(), "TEXT", None, None)
    assert not types.same_column(pa.timestamp("us"), "TIMESTAMP_TZ", None, None)
    assert types.described("GEOGRAPHY", None, None) == pa.string()


_VALUES: list[tuple[pa.DataType, str, str, Any]] = [
    (pa.int64(), "9223372036854775807", '{"a": 9223372036854775807}', 9223372036854775807),
    (pa.decimal128(38, 4), "1.2345", '{"a": "1.2345"}', decimal.Decimal("1.2345")),
    (pa.string(), "it's", '{"a": "it\'s"}', "it's"),
    (pa.bool_(), "true", '{"a": true}', True),
    (pa.binary(), "00ff", '{"a": "00ff"}', b"\0\xff"),
    (pa.float64(), "0.5", '{"a": 0.5}', 0.5),
]


@pytest.mark.parametrize(("arrow", "text", "json", "value"), _VALUES, ids=str)
def test_values_are_read_from_text_and_from_json(
    session: Session, arrow: pa.DataType, text: str, json: str, value: Any
) -> None:
    assert session.execute(f"SELECT {types.from_text('?', arrow)}", [text]) == [(value,)]
    read = types.from_json('o:"a"', arrow)
    assert session.execute(f"SELECT {read} FROM (SELECT PARSE_JSON(?) AS o)", [json]) == [(value,)]


@pytest.mark.parametrize(("arrow", "kind", "back"), _ARROW, ids=str)
def test_every_conversion_is_snowflakes_sql(arrow: pa.DataType, kind: str, back: pa.DataType) -> None:
    for text in (
        types.from_parquet('a"b', arrow),
        types.from_json('o:"a"', arrow),
        types.from_text("?", arrow),
        types.converted('"A"', arrow),
    ):
        sqlglot.parse_one(f"SELECT {text} FROM t", read="snowflake")
    nested = kind in {"ARRAY", "OBJECT", "VARIANT"}
    assert types.is_semi(arrow) == nested == ("PARSE_JSON" in types.from_parquet("a", arrow))
    assert types.digits(arrow) == (
        tuple(map(int, kind[7:-1].split(","))) if kind.startswith("NUMBER") else None
    )
