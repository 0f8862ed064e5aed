"""What the commands of all benchmarks share: groups of rows, which are wanted, how often they run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmarks.speed.results import Result, Row, compared
from benchmarks.speed.runs import Run, alternate
from rich.console import Console

from etl_core import EtlError

__all__ = ["Group", "alternated", "chosen", "failed", "measured", "noting", "parser", "warned"]

#: What measurements share: the server or the emulator, sizes, pairs.
B = TypeVar("B")

PAIRS = 11
#: For `--rows`: only what other options ask for.
NONE = "none"
#: Above this load something else is running.
_IDLE = 0.5


class Group(Generic[B]):
    """Rows that are measured together, and how."""

    def __init__(self, measure: Callable[[B, Sequence[Row]], Iterator[Result]], *rows: Row) -> None:
        self.measure = measure
        self.rows = rows


def alternated(
    rows: Sequence[Row],
    control: Callable[[], Run],
    arms: dict[str, Callable[[], Run]],
    moved: int,
    pairs: int,
    note: Callable[[str, Run], None],
) -> Iterator[Result]:
    """Run the arms that are named like the rows in turn with their control, and judge them."""
    series = alternate(control, arms, pairs, note)
    for row in rows:
        yield compared(row, series, series.arms[row.name], moved)


def measured(groups: Sequence[Group[B]], bench: B, wanted: Sequence[str]) -> Iterator[Result]:
    """Measure the rows that are wanted; what a group raises makes its rows failed ones."""
    for group in groups:
        rows = [row for row in group.rows if _is_wanted(row, wanted)]
        done: list[Row] = []
        try:
            for result in group.measure(bench, rows) if rows else ():
                done.append(result.row)
                yield result
        except EtlError as error:
            yield from (Result(row, "failed", wrong=[str(error)]) for row in rows if row not in done)


def failed(results: Sequence[Result]) -> int:
    """Return the exit code of a command."""
    return int(any(result.verdict == "failed" for result in results))


def _is_wanted(row: Row, wanted: Sequence[str]) -> bool:
    return not wanted or any(row.name == name or row.name.startswith(f"{name}-") for name in wanted)


def noting(status: Console) -> Callable[[str, Run], None]:
    """Return what tells of each run."""

    def note(name: str, run: Run) -> None:
        wrong = f"  [red]{run.wrong}" if run.wrong else ""
        status.print(f"  {name}: {run.seconds:.3f} s, CPU {run.cpu:.3f} s, {run.peak / 1e6:.0f} MB{wrong}")

    return note


def warned(status: Console, load: float) -> None:
    """Say so when something else is running."""
    if load > _IDLE:
        status.print(f"[yellow]something else is running here (load {load:.1f}): figures will stray")


def chosen(
    asked: argparse.ArgumentParser, groups: Sequence[Group[Any]], arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Read the arguments; a row that does not exist is an error."""
    options = asked.parse_args(arguments)
    every = [row for group in groups for row in group.rows]
    for name in options.rows:
        if name != NONE and not any(_is_wanted(row, [name]) for row in every):
            asked.error(f"no row's name is or begins with {name}")
    options.pairs = options.pairs or (2 if options.quick else PAIRS)
    return options


def parser(description: str | None, groups: Sequence[Group[Any]]) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    names = [row.name for group in groups for row in group.rows]
    made = argparse.ArgumentParser(
        description=description,
        epilog=f"rows: {', '.join(names)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--rows",
        nargs="*",
        default=[],
        metavar="ROW",
        help="rows, or beginnings of their names; all unless given; `none`: no row",
    )
    made.add_argument("--pairs", type=int, help=f"runs of each, every one between two controls ({PAIRS})")
    made.add_argument("--quick", action="store_true", help="little data, 2 pairs: does it work?")
    made.add_argument("--json", type=Path, default=Path("benchmark.json"), metavar="PATH")
    return made
