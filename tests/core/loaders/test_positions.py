"""The table of last places is the same, whichever way the installed pyarrow allows it to be made."""

from __future__ import annotations

import pyarrow as pa
import pytest

from etl_core.loaders.positions import by_grouping, last_places, mask_at, numbers

CODES = pa.array([9, 5, 0, 5, 9, None, 3, 5], pa.int64()).slice(1)
WANTED = pa.array([5, 3, None, 4, 9, 1, 0], pa.int64())


def test_the_last_place_of_a_code_is_found() -> None:
    for found in (last_places(CODES, 10)(WANTED), by_grouping(CODES)(WANTED)):
        assert (found.type, found.to_pylist()) == (pa.int32(), [6, 5, None, None, 3, None, 1])


def test_nothing_has_no_places() -> None:
    none = pa.array([], pa.int64())
    for found in (last_places(none, 0), by_grouping(none)):
        assert found(none).to_pylist() == []
    assert by_grouping(none)(WANTED).to_pylist() == last_places(none, 10)(WANTED).to_pylist() == [None] * 7


@pytest.mark.parametrize("count", [0, 1, 7, 65536, 65537, 200_000])
def test_numbers_of_any_length(count: int) -> None:
    assert numbers(count).equals(pa.array(range(count), pa.int32()))


def test_a_mask_is_true_at_its_places() -> None:
    assert mask_at(pa.array([3, 1], pa.int32()), 5).to_pylist() == [False, True, False, True, False]
