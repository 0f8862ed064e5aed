"""One run, and runs in turn: control, ours, control, ours, ... control."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen
from benchmarks.speed.contents import Contents

__all__ = ["Arm", "Run", "Series", "alternate"]


@frozen
class Run:
    """What one run took, without its start-up: seconds of wall time, seconds of the process's CPU.

    `wrong` says what it moved wrongly: then it counts for nothing.
    """

    seconds: float
    cpu: float = 0.0
    #: Bytes of resident memory at most.
    peak: int = 0
    wrong: str | None = None
    facts: Mapping[str, Any] = field(factory=dict)

    def checked(self, found: Contents, wanted: Contents) -> Run:
        """Return the run with what is wrong about what it moved."""
        if found == wanted:
            return self
        rows = f"{dict(found.counts)} rows, not {dict(wanted.counts)}"
        wrong = rows if found.counts != wanted.counts else "the right number of rows, other contents"
        return Run(self.seconds, self.cpu, self.peak, wrong, self.facts)


@define
class Arm:
    """Runs of one thing, each with the controls beside it."""

    runs: list[Run] = field(factory=list)
    before: list[Run] = field(factory=list)
    after: list[Run] = field(factory=list)

    @property
    def right(self) -> list[tuple[Run, Run, Run]]:
        """The runs that moved the right rows, with controls that did too."""
        every = zip(self.runs, self.before, self.after, strict=True)
        return [trio for trio in every if not any(run.wrong for run in trio)]


@define
class Series:
    """Runs of several arms and their common controls, in the order in which they ran."""

    controls: list[Run]
    arms: dict[str, Arm]


def alternate(
    control: Callable[[], Run],
    arms: Mapping[str, Callable[[], Run]],
    pairs: int,
    note: Callable[[str, Run], None] = lambda name, run: None,
) -> Series:
    """Run every arm `pairs` times, with a control before and after each run."""

    def controlled() -> Run:
        run = control()
        note("control", run)
        return run

    series = Series([controlled()], {name: Arm() for name in arms})
    for _ in range(pairs):
        for name, arm in arms.items():
            mine = series.arms[name]
            mine.before.append(series.controls[-1])
            mine.runs.append(arm())
            note(name, mine.runs[-1])
            series.controls.append(controlled())
            mine.after.append(series.controls[-1])
    return series
