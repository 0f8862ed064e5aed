"""Codes of keys: equal where the keys are, different where they are not, however they are found."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from etl_core.loaders.keys import key_codes
from etl_core.model import OLD_KEY
from etl_core.schema import add_reserved

MANY = 6000  # hashing is spared only where there are many rows
RANDOM = Random(20)


def rows_of(old: dict[int, Any] | None = None, **columns: pa.Array) -> pa.Table:
    rows = pa.Table.from_batches([add_reserved(pa.record_batch(columns), list(columns), "u")])
    if not old:
        return rows
    field = rows.schema.field(OLD_KEY)
    keys = pa.array([old.get(number) for number in range(rows.num_rows)], field.type)
    return rows.set_column(rows.schema.get_field_index(OLD_KEY), field, keys)


def assert_told_apart(rows: pa.Table, key: list[str]) -> None:
    """Compare codes with dictionaries of the values themselves."""
    codes = key_codes(rows, key)
    assert codes is not None
    values = list(zip(*(rows.column(name).to_pylist() for name in key), strict=True))
    found = codes.keys.to_pylist()
    assert all(0 <= code < codes.bound for code in found)
    keyed = [pair for pair in zip(values, found, strict=True) if None not in pair[0]]
    assert len(set(keyed)) == len({value for value, _ in keyed}) == len({code for _, code in keyed})
    lacking = [code for value, code in zip(values, found, strict=True) if None in value]
    assert len(set(lacking)) == len(lacking)
    assert not set(lacking) & {code for _, code in keyed}
    repeats = Counter(found)
    assert Counter(codes.repeated.to_pylist()) == repeats - Counter(set(found))


def integers(type: pa.DataType, low: int, high: int, nulls: bool = False) -> pa.Array:
    values: list[int | None] = [RANDOM.randint(low, high) for _ in range(MANY)]
    values += RANDOM.choices(values, k=200)
    return pa.array([None if nulls and RANDOM.random() < 0.01 else value for value in values], type)


@pytest.mark.parametrize("nulls", [False, True], ids=["no nulls", "nulls"])
@pytest.mark.parametrize(
    ("type", "low", "high"),
    [
        (pa.int8(), -128, 127),
        (pa.uint8(), 0, 255),
        (pa.int32(), -(2**31), 2**31 - 1),
        (pa.int64(), -5000, 5000),
        (pa.int64(), -(2**63), 2**63 - 1),
        (pa.uint64(), 2**63 - 5000, 2**63 + 5000),
        (pa.uint64(), 2**64 - 100_000, 2**64 - 1),
        (pa.uint64(), 0, 2**64 - 1),
        (pa.timestamp("us", "UTC"), 0, 10**15),
        (pa.date32(), 0, 20_000),
        (pa.time64("us"), 0, 86_399_999_999),
        (pa.duration("s"), -(10**6), 10**6),
    ],
    ids=str,
)
def test_integers_near_and_far_apart(type: pa.DataType, low: int, high: int, nulls: bool) -> None:
    values = integers(pa.int64() if pa.types.is_temporal(type) else type, low, high, nulls)
    if pa.types.is_temporal(type):
        values = values.cast(pa.int32() if type.bit_width == 32 else pa.int64()).view(type)
    assert_told_apart(rows_of(id=values), ["id"])


def test_integers_that_mostly_repeat() -> None:
    some = [RANDOM.getrandbits(62) for _ in range(MANY // 4)]
    assert_told_apart(rows_of(id=pa.array(RANDOM.choices(some, k=MANY), pa.int64())), ["id"])


@pytest.mark.parametrize("spread", [1, 10**12], ids=["near", "far"])
def test_keys_of_several_columns(spread: int) -> None:
    tenants = pa.array([RANDOM.choice(["a", "b", "ab", "", None]) for _ in range(MANY)])
    numbers = pa.array([RANDOM.randrange(MANY // 3) * spread for _ in range(MANY)], pa.int64())
    flags = pa.array([RANDOM.random() < 0.5 for _ in range(MANY)])
    rows = rows_of(tenant=tenants, number=numbers, flag=flags)
    assert_told_apart(rows, ["tenant", "number", "flag"])


def test_nested_keys_without_a_value_equal_no_other() -> None:
    codes = key_codes(rows_of(id=pa.array([[1], None, None, [1]])), ["id"])
    assert codes is not None
    first, *lacking, last = codes.keys.to_pylist()
    assert first == last
    assert len({first, *lacking}) == 3


def test_keys_without_a_value() -> None:
    assert_told_apart(rows_of(id=pa.nulls(5, pa.int64())), ["id"])
    assert_told_apart(rows_of(id=pa.nulls(5, pa.string()), n=pa.array([1, 1, 2, 2, 2])), ["id", "n"])


@pytest.mark.parametrize(
    "columns",
    [
        {"id": pa.array([3, 4, 9])},
        {"id": pa.array(["", "a", "aa"])},
        {"id": pa.array([b"0" * 16, b"1" * 16], pa.binary(16))},
        {"a": pa.array(["a", "a", "b"]), "b": pa.array([1, 2, 1])},
        {"id": pa.array([1], pa.int64())},
        {"id": pa.array([], pa.int64())},
    ],
    ids=["integers", "text", "binary", "several", "one", "none"],
)
def test_ascending_keys_are_seen_at_a_glance(columns: dict[str, pa.Array]) -> None:
    assert key_codes(rows_of(**columns), list(columns)) is None


@pytest.mark.parametrize(
    "columns",
    [
        {"id": pa.array([3, 4, 4])},
        {"id": pa.array([3, None, 4])},
        {"id": pa.array([*range(1000), 999])},
        {"a": pa.array(["a", "a", "b"]), "b": pa.array([1, 1, 1])},
        {"a": pa.array(["b", "a"]), "b": pa.array([1, 2])},
        {"id": pa.array([1.0, 2.0])},
    ],
    ids=["equal", "null", "late", "several equal", "several descending", "floats"],
)
def test_others_need_a_closer_look(columns: dict[str, pa.Array]) -> None:
    assert_told_apart(rows_of(**columns), list(columns))


def test_a_row_moved_when_its_old_key_is_another() -> None:
    codes = key_codes(rows_of({0: {"id": 7}, 2: {"id": 3}, 3: {"id": 1}}, id=pa.array([1, 2, 3, 4])), ["id"])
    assert codes is not None
    assert codes.moves.to_pylist() == [0, 3]
    assert codes.old[1].as_py() == codes.keys[0].as_py() == codes.repeated[0].as_py()
    assert len(codes.repeated) == 1
