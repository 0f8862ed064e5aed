"""Widenings, and that values survive them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.engine.widening import holds, widens

NUMBERS = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(5, 2),
    pa.decimal128(10, 2),
    pa.decimal128(20, 0),
    pa.decimal256(60, 4),
]
WIDER = [
    (pa.int16(), pa.int32()),
    (pa.uint8(), pa.int16()),
    (pa.int32(), pa.float64()),
    (pa.int64(), pa.decimal128(19, 0)),
    (pa.float32(), pa.float64()),
    (pa.decimal128(10, 2), pa.decimal128(12, 4)),
    (pa.null(), pa.int32()),
    (pa.string(), pa.large_string()),
    (pa.binary(16), pa.binary()),
    (pa.dictionary(pa.int8(), pa.string()), pa.string()),
    (pa.date32(), pa.timestamp("us")),
    (pa.timestamp("s"), pa.timestamp("us")),
    (pa.time32("ms"), pa.time64("us")),
    (pa.list_(pa.int32()), pa.large_list(pa.int64())),
    (pa.struct([("a", pa.int32())]), pa.struct([("a", pa.int64())])),
]
NOT_WIDER = [
    (pa.int64(), pa.int32()),
    (pa.int8(), pa.uint8()),
    (pa.uint64(), pa.int64()),
    (pa.int64(), pa.float64()),
    (pa.int64(), pa.decimal128(18, 0)),
    (pa.float64(), pa.decimal128(38, 10)),
    (pa.decimal128(10, 2), pa.decimal128(10, 4)),
    (pa.decimal128(10, 2), pa.float64()),
    (pa.string(), pa.binary()),
    (pa.binary(), pa.binary(16)),
    (pa.string(), pa.int32()),
    (pa.bool_(), pa.int32()),
    (pa.timestamp("us"), pa.timestamp("us", tz="UTC")),
    (pa.timestamp("us"), pa.timestamp("ns")),
    (pa.timestamp("us"), pa.timestamp("ms")),
    (pa.timestamp("us"), pa.date32()),
    (pa.struct([("a", pa.int32())]), pa.struct([("b", pa.int32())])),
    (pa.float64(), pa.string()),
]


@pytest.mark.parametrize(("old", "new"), WIDER, ids=str)
def test_wider(old: pa.DataType, new: pa.DataType) -> None:
    assert holds(old, new)
    assert widens(old, new)


@pytest.mark.parametrize(("old", "new"), NOT_WIDER, ids=str)
def test_not_wider(old: pa.DataType, new: pa.DataType) -> None:
    assert not holds(old, new)
    assert not widens(old, new)


@pytest.mark.parametrize("old", [pa.int64(), pa.decimal128(10, 2)], ids=str)
def test_exact_numbers_may_become_text_but_do_not_go_into_text_unasked(old: pa.DataType) -> None:
    assert widens(old, pa.string())
    assert not holds(old, pa.string())


@given(old=st.sampled_from(NUMBERS), new=st.sampled_from(NUMBERS), data=st.data())
def test_every_number_is_the_same_in_a_wider_type(
    old: pa.DataType, new: pa.DataType, data: st.DataObject
) -> None:
    if not holds(old, new):
        return
    if pa.types.is_integer(old):
        top = 2 ** (old.bit_width - pa.types.is_signed_integer(old))
        low = -top if pa.types.is_signed_integer(old) else 0
        value = data.draw(st.one_of(st.sampled_from([low, top - 1]), st.integers(low, top - 1)))
    elif pa.types.is_floating(old):
        value = data.draw(st.floats(width=old.bit_width, allow_nan=False))
    else:
        limit = 10 ** (old.precision - old.scale)
        value = data.draw(
            st.decimals(-limit + 1, limit - 1, places=old.scale, allow_nan=False, allow_infinity=False)
        )
    there = pa.array([value], old).cast(new)
    assert there[0].as_py() == value
