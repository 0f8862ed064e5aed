"""Rows in the shape of their table, and those that Snowflake cannot keep."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from etl_core import Stream
from etl_snowflake import refusing, shaping
from etl_snowflake.control import Kept
from etl_snowflake.names import Names

NAMES = Names("DB", "ETL_LANDING")
STREAM = Stream("shop", "orders")
SEQS = [bytes([0] * 19 + [n]) for n in (1, 2, 3)]
OLD = pa.struct([("id", pa.int64())])


def _rows(**columns: Any) -> pa.Table:
    reserved = {
        "_etl_op": pa.array(["i"] * 3),
        "_etl_seq": pa.array(SEQS, pa.binary(20)),
        "_etl_unchanged": pa.nulls(3, pa.list_(pa.string())),
        "_etl_old_key": pa.nulls(3, OLD),
    }
    return pa.table({"id": pa.array([1, 2, 3], pa.int64()), **reserved, **columns})


def test_seqs_are_hex_that_compares_as_text() -> None:
    rows = _rows()
    seqs = shaping.seqs_of(rows)
    assert seqs is not None
    assert seqs.to_pylist() == [seq.hex() for seq in SEQS]
    assert shaping.above(rows, seqs, SEQS[0].hex())[0].column("id").to_pylist() == [2, 3]
    assert shaping.below(rows, seqs, SEQS[0].hex())[0].column("id").to_pylist() == [1]
    assert shaping.above(rows, seqs, "")[0] is rows
    assert shaping.landed(NAMES, rows, seqs).column("_ETL_SEQ").to_pylist() == seqs.to_pylist()


def test_what_is_staged() -> None:
    columns = pa.schema([("id", pa.int64())])
    kept = Kept(STREAM, "SHOP", "ORDERS", "LANDING_ORDERS", columns=columns)
    staged = shaping.staged(NAMES, kept, _rows(), 10, numbered=True)
    assert staged.to_pydict() == {"ID": [1, 2, 3], "_ETL_N": [10, 11, 12]}
    assert shaping.staged(NAMES, kept, _rows(), 0, numbered=False).column_names == ["ID"]


def test_rows_without_seqs() -> None:
    assert shaping.seqs_of(_rows(_etl_seq=pa.array([SEQS[0], None, None], pa.binary(20)))) is None
    assert shaping.seqs_of(pa.table({"id": [1]})) is None


@pytest.mark.parametrize(
    ("columns", "partial"),
    [
        ({}, False),
        ({"_etl_unchanged": pa.array([None, [], None], pa.list_(pa.string()))}, False),
        ({"_etl_unchanged": pa.array([None, ["note"], None], pa.list_(pa.string()))}, True),
        ({"_etl_old_key": pa.array([None, {"id": 9}, None], OLD)}, True),
    ],
)
def test_rows_that_build_on_others(columns: dict[str, Any], partial: bool) -> None:
    assert shaping.is_partial(_rows(**columns)) is partial


@pytest.mark.parametrize("kind", [pa.string_view(), pa.binary_view()])
def test_rows_with_views_can_be_parted(kind: pa.DataType) -> None:
    rows = shaping.decoded(_rows(views=pa.array(["a", None, "c"]).cast(pa.binary()).cast(kind)))
    kept, _ = shaping.above(rows, pa.chunked_array([["1", "2", "3"]]), "2")
    assert kept.column("views").cast(pa.string()).to_pylist() == ["c"]


def test_run_end_encoded_columns_are_decoded() -> None:
    runs = pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None])
    assert shaping.decoded(_rows(runs=runs)).column("runs").to_pylist() == ["a", "a", None]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None]), None),
        (pa.array([0, 2_932_897, -719_163], pa.int32()).view(pa.date32()), "out_of_range"),
        (pa.array([0, 2**62, None], pa.int64()).view(pa.timestamp("us", "UTC")), "out_of_range"),
        (pa.array([0, 253402300800000, None], pa.int64()).view(pa.date64()), "out_of_range"),
        (pa.array([b"", b"x" * ((8 << 20) + 1), None]), "too_long"),
        (pa.array(["", "x" * ((16 << 20) + 1), None]), "too_long"),
        (pa.array(["", "x" * (8 << 20), None]), None),
    ],
)
def test_values_that_cannot_be_kept(values: pa.Array, code: str | None) -> None:
    rows, refused = refusing.accept(STREAM, _rows(value=values), ())
    assert [(each.code, each.column) for each in refused] == ([(code, "value")] if code else [])
    assert rows.num_rows + sum(each.rows.num_rows for each in refused) == 3


def test_rows_without_their_key() -> None:
    old = pa.array([None, {"id": None}, {"id": 5}], OLD)
    rows, refused = refusing.accept(
        STREAM, _rows(_etl_old_key=old, id=pa.array([None, 2, 3], pa.int64())), ["id"]
    )
    assert rows.column("id").to_pylist() == [3]
    assert [(each.code, each.rows.num_rows) for each in refused] == [("null_key", 2)]
