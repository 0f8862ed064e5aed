"""What is compared with what, under which conditions, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, Literal

import attrs
from attrs import field, frozen
from benchmarks.speed.runs import Arm, Run, Series
from benchmarks.speed.stats import Ratio, neighbours, ratio, self_ratios, verdict

__all__ = ["Conditions", "Result", "Row", "compared", "reached"]

#: Controls that say something about each other.
_CONTROLS = 5


@frozen
class Conditions:
    """What a figure depends on."""

    transport: str = "TCP on 127.0.0.1"
    tls: str = "no"
    fsync: str = "server: off"
    durability: str = "none: memory"
    startup: str = "left out"


@frozen
class Row:
    """A comparison. `bar` is the highest ratio to the control that holds, or the highest value in `unit`."""

    name: str
    work: str
    control: str
    bar: float | None
    conditions: Conditions = Conditions()
    unit: str = "x"
    #: What is compared: wall time, or the CPU time of the process.
    by: Literal["seconds", "cpu"] = "seconds"


@frozen
class Result:
    """What came of a row: `value` with its `upper` bound against the bar."""

    row: Row
    verdict: str
    value: float | None = None
    upper: float | None = None
    #: What the control differs from itself by the same method, as a part.
    band: float | None = None
    #: Medians: seconds of wall time, seconds of CPU, bytes.
    seconds: float | None = None
    control_seconds: float | None = None
    cpu: float | None = None
    control_cpu: float | None = None
    peak: int | None = None
    rows: int | None = None
    pairs: int = 0
    #: What runs that count for nothing moved wrongly, or why there is no figure.
    wrong: Sequence[str] = ()
    facts: Mapping[str, Any] = field(factory=dict)

    @property
    def rate(self) -> float | None:
        """Rows per second."""
        return self.rows / self.seconds if self.rows and self.seconds else None

    @property
    def cpu_per_million(self) -> float | None:
        """Seconds of CPU for a million rows."""
        return _per_million(self.cpu, self.rows)

    @property
    def control_cpu_per_million(self) -> float | None:
        """The same of the control."""
        return _per_million(self.control_cpu, self.rows)

    def to_json(self) -> dict[str, Any]:
        return {**attrs.asdict(self), "rate": self.rate}


def _per_million(seconds: float | None, rows: int | None) -> float | None:
    return 1e6 * seconds / rows if seconds and rows else None


def compared(row: Row, series: Series, arm: Arm, rows: int) -> Result:
    """Judge the runs of an arm by their controls."""
    right = arm.right
    wrong = [run.wrong for run in (*arm.runs, *arm.before[:1], *arm.after) if run.wrong]
    if not right:
        return Result(row, "failed", wrong=wrong or ["no run"])
    times = [[getattr(run, row.by) for run in runs] for runs in zip(*right, strict=True)]
    ratios = neighbours(*times)
    found, same = ratio(ratios), _same(series, row.by)
    return Result(
        row,
        verdict(found, same, row.bar),
        found.median,
        found.upper,
        same.band if same else None,
        median(one.seconds for one, _, _ in right),
        median(fmean((b.seconds, a.seconds)) for _, b, a in right),
        median(one.cpu for one, _, _ in right),
        median(fmean((b.cpu, a.cpu)) for _, b, a in right),
        max(one.peak for one, _, _ in right),
        rows,
        len(right),
        wrong,
        {"ratios": ratios, row.by: times[0], "controls": [getattr(run, row.by) for run in series.controls]}
        | {"spread": found.spread, "control": series.controls[0].facts},
    )


def _same(series: Series, by: str) -> Ratio | None:
    """Return the A/A ratio: the controls against each other."""
    controls = [getattr(run, by) for run in series.controls if not run.wrong]
    return ratio(self_ratios(controls)) if len(controls) >= _CONTROLS else None


def reached(row: Row, value: float, runs: Sequence[Run], **facts: Any) -> Result:
    """Judge a value that has a bar of its own."""
    wrong = [run.wrong for run in runs if run.wrong]
    held = "-" if row.bar is None else "holds" if value <= row.bar else "missed"
    peak = max((run.peak for run in runs), default=0)
    return Result(
        row, "failed" if wrong else held, value, peak=peak, wrong=wrong, pairs=len(runs), facts=facts
    )
