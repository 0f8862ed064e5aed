"""The command of the benchmark of PostgreSQL: which rows, how often, and where the results go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed import asking, growth, measurements, memory, plot, report
from benchmarks.speed.bench import FULL, QUICK, Bench
from benchmarks.speed.server import SETTINGS, running

__all__ = ["main"]

GROUPS = [*measurements.GROUPS, *memory.GROUPS]
PACKAGES = ("etl-core", "etl-postgres-cdc", "etl-duckdb", "duckdb", "pyarrow", "psycopg")


def main(description: str | None, arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; print a table, write JSON and a picture. Return 1 if something failed."""
    options = asking.chosen(_parser(description), GROUPS, arguments)
    console, status = report.consoles()
    if options.plot and not plot.available():
        status.print(f"[yellow]no picture: {plot.HOW}")
    facts = report.machine(PACKAGES, postgres=options.postgres, settings=SETTINGS)
    asking.warned(status, facts["load"])
    with running(options.postgres) as server:
        sizes = QUICK if options.quick else FULL
        bench = Bench(server, sizes, options.pairs, asking.noting(status))
        parts = {"results": list(asking.measured(GROUPS, bench, options.rows))}
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
    return asking.failed(parts["results"])


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = asking.parser(description, GROUPS)
    parser.add_argument("--growth", action="store_true", help="also: more rows, tables, columns")
    parser.add_argument(
        "--peers", nargs="*", metavar="PEER", help="also: other tools, in throw-away environments (all)"
    )
    parser.add_argument("--plot", type=Path, default=Path("benchmark.png"), metavar="PATH")
    parser.add_argument("--postgres", type=int, default=16, metavar="VERSION", help="server: 16 or 18")
    return parser
