"""Text that is not what a session prints (a setting changed, a stream cut) is refused, never guessed at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_pglib import arrays, numeric, temporal, text

WRONG: list[tuple[Callable[[Any], pa.Array], list[str]]] = [
    (text.booleans, ["true", "", "1", "T"]),
    (text.byteas, ["abc", "\\x0", "\\xzz", ""]),
    (
        text.uuids,
        ["", "6b86b273ff344ce19d6b804eff5a3f57", "6b86b273-ff34-4ce1-9d6b-804eff5a3f5", "z" * 36, "0" * 36],
    ),
    (
        temporal.dates,
        ["", "01/02/2024", "1 BC", "Infinity", "2024-1-1"],
    ),
    (temporal.times, ["", "24:00:00", "12:00:00+01", "12:00:60"]),
    (temporal.timestamps, ["", "2024-01-01 00:00:00+00", "Mon Jan  1 00:00:00 2024"]),
    (temporal.timestamps_tz, ["2024-01-01 00:00:00", "2024-01-01 00:00:00 IST", "10000-01-01 00:00:00"]),
    (temporal.intervals, ["", "P1Y", "1-2", "infinity", "@ 1 year", "1 year ago", "00:00:00.0000001"]),
    (lambda values: numeric.cast(values, pa.int32()), ["", "2147483648", "1.0", "x"]),
    (lambda values: numeric.cast(values, pa.decimal128(5, 2)), ["", "NaN", "1.234", "1000.00", "Infinity"]),
    (
        lambda values: arrays.lists(values, ",", text.texts),
        ["", "{", "a", "{{1}}", '{"a"', '{"a"b}', '{"a",}', "{a},"],
    ),
]


@pytest.mark.parametrize(
    ("convert", "value"), [(convert, value) for convert, values in WRONG for value in values]
)
def test_text_of_another_form_is_refused(convert: Callable[[Any], pa.Array], value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- PgType.parse says what it means
        convert([None, value])


EMPTY = [text.texts, text.jsons, *(convert for convert, _ in WRONG)]


@pytest.mark.parametrize("convert", EMPTY)
def test_no_rows_and_nulls_have_the_same_type(convert: Callable[[Any], pa.Array]) -> None:
    none, nulls = convert([]), convert([None, None])
    assert none.type == nulls.type
    assert (len(none), nulls.null_count) == (0, 2)


def printed(values: list[str | None], delimiter: str) -> str:
    """An array as PostgreSQL prints it."""
    return "{" + delimiter.join(map(_printed, values)) + "}"


def _printed(value: str | None) -> str:
    if value is None:
        return "NULL"
    if value and value.upper() != "NULL" and value.isalnum():
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.none() | st.text(max_size=6) | st.sampled_from(["NULL", "null", ",", '"', "\\", "{}"])))
def test_an_array_is_split_into_what_was_joined(values: list[str | None]) -> None:
    for delimiter in ",;":
        assert arrays.elements(printed(values, delimiter), delimiter) == values


def test_years_beyond_four_digits_in_a_batch_change_nothing_for_its_others() -> None:
    usual = ["2024-02-29 01:02:03.5", None, "1969-12-31 23:59:59.999999", "0001-01-01 00:00:00"]
    alone = temporal.timestamps(usual)
    assert temporal.timestamps([*usual, "0044-03-15 00:00:00 BC"])[:4].equals(alone)
    zoned = [value and f"{value}+05:30" for value in usual]
    assert temporal.timestamps_tz([*zoned, "infinity"])[:4].equals(temporal.timestamps_tz(zoned))
    odd = temporal.timestamps_tz(["10000-01-01 00:00:00-00:19:32", "10000-01-01 00:19:32+00"])
    assert odd[0] == odd[1]
