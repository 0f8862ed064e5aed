"""Runs take turns with their controls, and one that moved the wrong rows counts for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve
from benchmarks.speed.contents import Contents
from benchmarks.speed.results import Row, compared
from benchmarks.speed.runs import Run, alternate

ROW = Row("mine", "some work", "the control", 0.6)


def runs(order: list[str], name: str, made: Sequence[Run]) -> Callable[[], Run]:
    left = iter(made)

    def run() -> Run:
        order.append(name)
        return next(left)

    return run


def test_every_run_has_a_control_before_and_after_it() -> None:
    order: list[str] = []
    controls = runs(order, "control", [Run(float(n)) for n in range(1, 10)])
    arms = {name: runs(order, name, [Run(10.0)] * 2) for name in ("a", "b")}
    series = alternate(controls, arms, 2)
    assert order == ["control", "a", "control", "b"] * 2 + ["control"]
    assert [run.seconds for run in series.arms["b"].before] == [2.0, 4.0]
    assert [run.seconds for run in series.arms["b"].after] == [3.0, 5.0]


def test_the_median_of_the_right_runs_is_judged() -> None:
    mine = [Run(0.5, cpu=0.1, peak=7), Run(90.0, wrong="3 rows"), Run(0.5), Run(0.5)]
    series = alternate(lambda: Run(1.0), {"mine": runs([], "mine", mine)}, 4)
    result = compared(ROW, series, series.arms["mine"], 1000)
    assert (result.value, result.verdict, result.pairs) == (0.5, "holds", 3)
    assert result.wrong == ["3 rows"]
    assert result.rate == 2000.0


def test_runs_beside_a_wrong_control_count_for_nothing() -> None:
    controls = runs([], "control", [Run(1.0, wrong="the end was not reached"), Run(1.0), Run(1.0)])
    series = alternate(controls, {"mine": lambda: Run(0.5)}, 2)
    assert compared(ROW, series, series.arms["mine"], 1).pairs == 1


def test_a_row_of_wrong_runs_has_failed() -> None:
    series = alternate(lambda: Run(1.0), {"mine": lambda: Run(0.5, wrong="no rows")}, 3)
    result = compared(ROW, series, series.arms["mine"], 1)
    assert (result.verdict, result.value) == ("failed", None)


def test_what_was_moved_wrongly_is_said() -> None:
    wanted = Contents({"i": 2, "u": 1}, 77)
    assert Run(1.0).checked(Contents({"i": 2, "u": 1}, 77), wanted).wrong is None
    assert Run(1.0).checked(Contents({"i": 2}, 77), wanted).wrong == "{'i': 2} rows, not {'i': 2, 'u': 1}"
    assert Run(1.0).checked(Contents({"i": 2, "u": 1}, 78), wanted).wrong


def test_what_is_compared_may_be_cpu() -> None:
    mine = [Run(9.0, cpu=0.1), Run(1.0, cpu=0.2), Run(9.0, cpu=0.3)]
    series = alternate(lambda: Run(1.0, cpu=1.0), {"mine": runs([], "mine", mine)}, 3)
    result = compared(evolve(ROW, by="cpu"), series, series.arms["mine"], 1_000_000)
    assert (result.value, result.seconds) == (0.2, 9.0)
    assert (result.cpu_per_million, result.control_cpu_per_million) == (0.2, 1.0)
