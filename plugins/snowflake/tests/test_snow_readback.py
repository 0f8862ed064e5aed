"""What the kit reads back of nested values: JSON's texts and numbers are again what was sent."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from etl_snowflake.readback import _value


@pytest.mark.parametrize(
    ("value", "wanted", "found"),
    [
        ("00ff", pa.binary(), b"\x00\xff"),
        ("1.50", pa.decimal128(5, 2), Decimal("1.50")),
        ("7", pa.int64(), 7),
        ("1.5", pa.float64(), 1.5),
        ("2024-01-02T03:04:05", pa.timestamp("us"), dt.datetime(2024, 1, 2, 3, 4, 5)),  # noqa: DTZ001 - it has none
        ("2024-01-02", pa.date32(), dt.date(2024, 1, 2)),
        ("03:04:05", pa.time64("us"), dt.time(3, 4, 5)),
    ],
)
def test_a_value_is_what_was_sent(value: str, wanted: pa.DataType, found: Any) -> None:
    assert _value([value, None], pa.list_(wanted)) == [found, None]
