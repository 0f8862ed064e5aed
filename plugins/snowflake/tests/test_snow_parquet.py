from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl_snowflake.parquet import write

UTC = dt.UTC
MOMENT = dt.datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - without a zone is what is meant


def back(tmp_path: Path, column: pa.Array) -> tuple[pa.DataType, list[Any]]:
    path = tmp_path / "x.parquet"
    assert write(pa.table({"X": column}), path) == path.stat().st_size
    found = pq.read_table(path).column("X")
    return found.type, found.to_pylist()


@pytest.mark.parametrize(
    ("column", "kind", "values"),
    [
        (pa.array([1, None], pa.int8()), pa.int64(), [1, None]),
        (pa.array([2**64 - 1], pa.uint64()), pa.decimal128(20, 0), [Decimal(2**64 - 1)]),
        (pa.array([Decimal("-1.50")], pa.decimal256(38, 2)), pa.decimal128(38, 2), [Decimal("-1.50")]),
        (pa.array([Decimal(1200)], pa.decimal128(5, -2)), pa.decimal128(7, 0), [Decimal(1200)]),
        (pa.array([1.5], pa.float16()), pa.float64(), [1.5]),
        (pa.array([math.inf, -0.0], pa.float32()), pa.float64(), [math.inf, -0.0]),
        (pa.array(["ü", None], pa.string_view()), pa.string(), ["ü", None]),
        (pa.array([b"\xff", None], pa.binary_view()), pa.binary(), [b"\xff", None]),
        (pa.array([b"ab"], pa.binary(2)), pa.binary(), [b"ab"]),
        (pa.array([dt.date(1, 1, 1)], pa.date32()), pa.date32(), [dt.date(1, 1, 1)]),
        (pa.array([86_400_000], pa.date64()), pa.date32(), [dt.date(1970, 1, 2)]),
        (pa.array([MOMENT]), pa.timestamp("us"), [MOMENT]),
        (
            pa.array([0], pa.timestamp("s", "Europe/Berlin")),
            pa.timestamp("us", "UTC"),
            [dt.datetime(1970, 1, 1, tzinfo=UTC)],
        ),
        (pa.array([1], pa.timestamp("ns", "UTC")), pa.string(), ["1970-01-01 00:00:00.000000001+00:00"]),
        (pa.array([1], pa.time64("ns")), pa.string(), ["00:00:00.000000001"]),
        (pa.array([True, None]), pa.bool_(), [True, None]),
        (pa.nulls(1), pa.string(), [None]),
        (pa.array(["a", "a"]).dictionary_encode(), pa.string(), ["a", "a"]),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])), pa.string(), ['{"a": 1}']),
        (pa.array([[1, None], None]), pa.string(), ["[1,null]", None]),
        (pa.array([{"a": "x"}]), pa.string(), ['{"a":"x"}']),
        (pa.array([["x"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))), pa.string(), ['["x"]']),
        (pa.array([[math.nan]]), pa.string(), ['["NaN"]']),
    ],
)
def test_a_column_is_read_back(
    tmp_path: Path, column: pa.Array, kind: pa.DataType, values: list[Any]
) -> None:
    found, rows = back(tmp_path, column)
    assert found.equals(kind) or str(found).replace("large_", "") == str(kind)
    assert rows == values


def test_a_uuid_is_text(tmp_path: Path) -> None:
    column = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16)))
    assert back(tmp_path, column)[1] == ["00000000-0000-0000-0000-000000000000"]


def test_not_a_number_stays_one(tmp_path: Path) -> None:
    assert math.isnan(back(tmp_path, pa.array([math.nan]))[1][0])


def test_chunks_and_slices(tmp_path: Path) -> None:
    column = pa.chunked_array([[["a"], None], [["b", None]]]).slice(1)
    assert [each and json.loads(each) for each in back(tmp_path, column)[1]] == [None, ["b", None]]
