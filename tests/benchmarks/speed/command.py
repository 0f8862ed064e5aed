"""The command: which rows, how often, and where the results go."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.speed import growth, measurements, memory, plot, report
from benchmarks.speed.bench import FULL, QUICK, Bench
from benchmarks.speed.results import Result, Row
from benchmarks.speed.runs import Run
from benchmarks.speed.server import running
from rich.console import Console

from etl_core import EtlError

__all__ = ["main"]

GROUPS = [*measurements.GROUPS, *memory.GROUPS]
PAIRS = 11
#: For `--rows`: only what other options ask for.
NONE = "none"
#: Columns of text that the table needs.
_WIDTH = 150


def main(description: str | None, arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; print a table, write JSON and a picture. Return 1 if something failed."""
    options = _options(_parser(description), arguments)
    console, status = Console(width=max(_WIDTH, Console().width)), Console(stderr=True)
    if options.plot and not plot.available():
        status.print(f"[yellow]no picture: {plot.HOW}")
    facts = report.machine(options.postgres)
    if facts["load"] > 0.5:
        status.print(f"[yellow]something else is running here (load {facts['load']:.1f}): figures will stray")
    with running(options.postgres) as server:
        sizes = QUICK if options.quick else FULL
        pairs = options.pairs or (2 if options.quick else PAIRS)
        bench = Bench(server, sizes, pairs, lambda name, run: _note(status, name, run))
        parts = {"results": list(_results(bench, options.rows))}
        if options.growth:
            parts["growth"] = list(growth.measured(bench))
        if options.peers is not None:
            from benchmarks.speed import comparison

            parts["peers"] = list(comparison.measured(bench, options.peers))
    for name, results in parts.items():
        report.show(name, results, console)
    report.write(options.json, facts, parts)
    if options.plot and plot.available():
        plot.draw(options.plot, parts)
    return int(any(result.verdict == "failed" for result in parts["results"]))


def _results(bench: Bench, wanted: Sequence[str]) -> Iterator[Result]:
    for group in GROUPS:
        rows = [row for row in group.rows if _is_wanted(row, wanted)]
        done: list[Row] = []
        try:
            for result in group.measure(bench, rows) if rows else ():
                done.append(result.row)
                yield result
        except EtlError as error:
            yield from (Result(row, "failed", wrong=[str(error)]) for row in rows if row not in done)


def _is_wanted(row: Row, wanted: Sequence[str]) -> bool:
    return not wanted or any(row.name == name or row.name.startswith(f"{name}-") for name in wanted)


def _note(status: Console, name: str, run: Run) -> None:
    wrong = f"  [red]{run.wrong}" if run.wrong else ""
    status.print(f"  {name}: {run.seconds:.3f} s, CPU {run.cpu:.3f} s, {run.peak / 1e6:.0f} MB{wrong}")


def _options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the arguments; a row that does not exist is an error."""
    options = parser.parse_args(arguments)
    every = [row for group in GROUPS for row in group.rows]
    for name in options.rows:
        if name != NONE and not any(_is_wanted(row, [name]) for row in every):
            parser.error(f"no row's name is or begins with {name}")
    return options


def _parser(description: str | None) -> argparse.ArgumentParser:
    names = [row.name for group in GROUPS for row in group.rows]
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f"rows: {', '.join(names)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows",
        nargs="*",
        default=[],
        metavar="ROW",
        help="rows, or beginnings of their names; all unless given; `none`: no row",
    )
    parser.add_argument("--pairs", type=int, help=f"runs of each, every one between two controls ({PAIRS})")
    parser.add_argument("--quick", action="store_true", help="little data, 2 pairs: does it work?")
    parser.add_argument("--growth", action="store_true", help="also: more rows, tables, columns")
    parser.add_argument(
        "--peers", nargs="*", metavar="PEER", help="also: other tools, in throw-away environments (all)"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmark.json"), metavar="PATH")
    parser.add_argument("--plot", type=Path, default=Path("benchmark.png"), metavar="PATH")
    parser.add_argument("--postgres", type=int, default=16, metavar="VERSION", help="server: 16 or 18")
    return parser
