"""What is said of a ratio is right for data whose truth is known."""

from __future__ import annotations

import random

import pytest
from benchmarks.speed.stats import Ratio, neighbours, percentile, ratio, self_ratios, verdict


def noisy(truth: float, count: int, seed: int, spread: float = 0.05) -> list[float]:
    generator = random.Random(seed)
    return [truth * generator.lognormvariate(0, spread) for _ in range(count)]


def test_each_time_is_divided_by_the_mean_of_the_controls_beside_it() -> None:
    assert neighbours([3.0, 4.0], [1.0, 3.0], [2.0, 5.0]) == [2.0, 1.0]


def test_a_slow_drift_of_the_machine_cancels_out() -> None:
    drift = [1 + 0.05 * step for step in range(23)]
    assert neighbours([2 * one for one in drift[1::2]], drift[:-1:2], drift[2::2]) == pytest.approx(
        [2.0] * 11
    )
    assert self_ratios(drift) == pytest.approx([1.0] * 21)


def test_the_upper_bound_covers_the_truth_about_as_often_as_it_says() -> None:
    bounds = [ratio(noisy(0.6, 11, seed), resamples=500).upper for seed in range(100)]
    assert 80 <= sum(bound >= 0.6 for bound in bounds) <= 98


def test_bounds_surround_the_median_and_narrow_with_more_pairs() -> None:
    few, many = ratio(noisy(1.0, 11, 1)), ratio(noisy(1.0, 200, 1))
    assert few.low <= few.median <= few.upper <= few.high
    assert many.band < few.band
    assert few.count == 11


def test_the_same_data_give_the_same_bounds() -> None:
    assert ratio(noisy(1.0, 11, 3)) == ratio(noisy(1.0, 11, 3))


def test_one_ratio_is_its_own_bound() -> None:
    assert ratio([0.7]) == Ratio(0.7, 0.7, 0.7, 0.7, 0.0, 1)


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1), (0.5, 5), (0.9, 9), (0.99, 10), (1.0, 10)])
def test_a_percentile_is_the_smallest_value_that_enough_values_do_not_exceed(
    part: float, expected: int
) -> None:
    assert percentile([float(n) for n in range(1, 11)], part) == expected


@pytest.mark.parametrize(
    ("upper", "band", "bar", "expected"),
    [
        (0.59, 0.05, 0.6, "holds"),
        (0.60, 0.05, 0.6, "holds"),
        (0.61, 0.05, 0.6, "missed"),
        (0.61, 0.16, 0.6, "undecided"),
        (0.30, 0.16, 0.6, "undecided"),
        (0.30, 0.05, None, "-"),
    ],
)
def test_a_bar_holds_when_the_upper_bound_is_within_it(
    upper: float, band: float, bar: float | None, expected: str
) -> None:
    found = Ratio(0.55, upper, 0.5, 0.7, 0.1, 11)
    same = Ratio(1.0, 1.0, 1.0 - band, 1.0 + band, 0.1, 21)
    assert verdict(found, same, bar) == expected


def test_without_controls_to_compare_nothing_is_decided() -> None:
    assert verdict(Ratio(0.5, 0.5, 0.5, 0.5, 0.0, 2), None, 0.6) == "undecided"
