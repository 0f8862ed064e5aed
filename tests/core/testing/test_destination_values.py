"""Values that compare, and rows that differ: what the clauses of destinations look with."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from etl_core.testing.destination.arrows import FAMILIES, samples
from etl_core.testing.destination.values import as_type, difference, plain

ROWS = [{"id": 1, "a": "x", "b": None}, {"id": 2, "a": "y", "b": 5}]
SAME = [
    (pa.array([1, None], pa.int8()), pa.array([1, None], pa.uint64())),
    (pa.array([5], pa.int64()), pa.array([Decimal(5)], pa.decimal128(5, 2))),
    (pa.array([2**63 - 1]), pa.array([Decimal(2**63 - 1)], pa.decimal128(38, 0))),
    (pa.array([Decimal("1.50")]), pa.array([Decimal("1.5")], pa.decimal256(50, 9))),
    (pa.array([float("nan")]), pa.array([float("nan")], pa.float32())),
    (pa.array([1], pa.timestamp("s", "UTC")), pa.array([10**9], pa.timestamp("ns", "Asia/Tokyo"))),
    (pa.array([1], pa.duration("s")), pa.array([pa.MonthDayNano([0, 0, 10**9])])),
    (pa.array([0], pa.date32()), pa.array([0], pa.date64())),
    (pa.array(["a"]).dictionary_encode(), pa.RunEndEncodedArray.from_arrays([1], ["a"])),
    (pa.array([[1]], pa.list_(pa.int8())), pa.array([[1]], pa.large_list_view(pa.int64()))),
    (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1"])), pa.array(["1"])),
]
OTHER = [
    (pa.array([0.0]), pa.array([-0.0])),
    (pa.array([None], pa.string()), pa.array([""])),
    (pa.array(["1"]), pa.array([1])),
    (pa.array([1]), pa.array([True])),
    (pa.array([2**63 - 1]), pa.array([2**63 - 2])),
    (pa.array([2**53 + 1]), pa.array([2**53])),
    (pa.array([b"a"]), pa.array(["a"])),
    (pa.array([0], pa.timestamp("s")), pa.array([0], pa.timestamp("s", "UTC"))),
    (pa.array([[]], pa.list_(pa.int8())), pa.array([None], pa.list_(pa.int8()))),
    (pa.array([0], pa.time32("s")), pa.array([0], pa.duration("s"))),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_value_in_two_representations(one: pa.Array, other: pa.Array) -> None:
    assert repr(plain(one)) == repr(plain(other))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_two_values(one: pa.Array, other: pa.Array) -> None:
    assert repr(plain(one)) != repr(plain(other))


def test_every_sample_can_be_told_and_has_a_null() -> None:
    arrays = [array for family in FAMILIES for array in samples(family)]
    assert len({str(array.type) for array in arrays}) > 70
    for array in arrays:
        values = plain(array)
        assert len(values) == len(array)
        assert None in values


@pytest.mark.parametrize(
    ("found", "facts"),
    [
        (list(reversed(ROWS)), {}),
        (ROWS[:1], {"rows_wanted": 2, "rows_found": 1, "keys_missing": 1}),
        ([*ROWS, ROWS[0]], {"rows_wanted": 2, "rows_found": 3, "rows_repeated": 1}),
        ([ROWS[0], {**ROWS[1], "b": 6}], {"rows_wanted": 2, "rows_found": 2, "columns_differing": "b"}),
    ],
)
def test_rows_that_differ_are_described_without_their_values(
    found: list[dict[str, Any]], facts: dict[str, object]
) -> None:
    assert difference(ROWS, found, ["id"]) == facts


def test_a_cast_that_loses_something_is_none() -> None:
    nanos = pa.array([1], pa.timestamp("ns"))
    assert as_type(nanos, pa.timestamp("us")) is None
    assert as_type(pa.RunEndEncodedArray.from_arrays([1], [3]), pa.string()).to_pylist() == ["3"]
