"""What can be said about a ratio of two noisy times."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean, median, quantiles

from attrs import frozen

__all__ = ["UNDECIDED", "Ratio", "neighbours", "percentile", "ratio", "self_ratios", "verdict"]

#: An A/A band above this leaves a comparison undecided.
UNDECIDED = 0.15


@frozen
class Ratio:
    """The median of ratios, and how sure it is.

    `upper` is the one-sided 90 % bootstrap bound of the median, `low` to `high` its two-sided 90 % interval.
    """

    median: float
    upper: float
    low: float
    high: float
    #: The distance between the quartiles of the ratios themselves.
    spread: float
    count: int

    @property
    def band(self) -> float:
        """Half of the two-sided interval, as a part of the median."""
        return (self.high - self.low) / 2 / self.median


def neighbours(ours: Sequence[float], before: Sequence[float], after: Sequence[float]) -> list[float]:
    """Return each time over the mean of the control before and the control after it."""
    return [one / fmean((a, b)) for one, a, b in zip(ours, before, after, strict=True)]


def self_ratios(controls: Sequence[float]) -> list[float]:
    """Return the A/A ratios: each control, but the first and last, over the mean of its neighbours."""
    return neighbours(controls[1:-1], controls[:-2], controls[2:])


def ratio(ratios: Sequence[float], seed: int = 0, resamples: int = 10_000) -> Ratio:
    """Return median and bootstrap bounds: medians of samples drawn with replacement."""
    generator = random.Random(seed)
    medians = sorted(median(generator.choices(ratios, k=len(ratios))) for _ in range(resamples))
    spread = 0.0
    if len(ratios) > 1:
        lower, _, higher = quantiles(ratios, n=4, method="inclusive")
        spread = higher - lower
    upper, low, high = (percentile(medians, part) for part in (0.9, 0.05, 0.95))
    return Ratio(median(ratios), upper, low, high, spread, len(ratios))


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of the (sorted) values does not exceed."""
    count = len(ordered)
    return ordered[min(count - 1, max(0, -int(-part * count // 1) - 1))]


def verdict(found: Ratio, same: Ratio | None, bar: float | None) -> str:
    """Return `holds`, `missed`, `undecided` (what the control differs from itself is too much) or `-`."""
    if bar is None:
        return "-"
    if same is None or same.band > UNDECIDED:
        return "undecided"
    return "holds" if found.upper <= bar else "missed"
