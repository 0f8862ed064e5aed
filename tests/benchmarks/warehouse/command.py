"""The command of the benchmark of Snowflake: which rows, how often, and where the results go."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.speed import asking, report
from benchmarks.warehouse.bench import running
from benchmarks.warehouse.measurements import GROUPS

__all__ = ["main"]

PACKAGES = (
    "etl-core",
    "etl-snowflake",
    "msgspec",
    "pyarrow",
    "snowflake-connector-python",
    "snowpipe-streaming",
)
_ROWS, _FEW = 300_000, 1_000


def main(description: str | None, arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; print a table, write JSON. Return 1 if something failed."""
    options = asking.chosen(asking.parser(description, GROUPS), GROUPS, arguments)
    console, status = report.consoles()
    count = _FEW if options.quick else _ROWS
    facts = report.machine(PACKAGES, rows=count, service="the emulator, on the same machine")
    asking.warned(status, facts["load"])
    with running(count, options.pairs, asking.noting(status)) as bench:
        results = list(asking.measured(GROUPS, bench, options.rows))
    report.show("results", results, console)
    report.write(options.json, facts, {"results": results})
    return asking.failed(results)
