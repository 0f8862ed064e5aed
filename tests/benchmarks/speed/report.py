"""Results for people and for programs: a table, and JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.speed.results import Result
from benchmarks.speed.server import SETTINGS
from benchmarks.speed.stats import UNDECIDED
from rich.console import Console
from rich.table import Table

__all__ = ["machine", "show", "write"]

_STYLES = {"holds": "green", "missed": "red", "failed": "bold red", "undecided": "yellow"}
_HEADINGS = (
    "row",
    "bar",
    "median",
    "upper 90 %",
    "A/A ±",
    "verdict",
    "seconds",
    "control",
    "CPU s",
    "rows/s",
    "peak MB",
    "pairs",
)


def show(title: str, results: Sequence[Result], console: Console) -> None:
    """Print a table, under which stand conditions and everything that went wrong."""
    table = Table(title=title)
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="left" if number in (0, 5) else "right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result), style=_STYLES.get(result.verdict))
    console.print(table)
    for result in results:
        console.print(
            f"{result.row.name}: {_described(result)}", highlight=False, markup=False, soft_wrap=True
        )


def _cells(result: Result) -> list[str]:
    unit = result.row.unit
    return [
        result.row.name,
        _number(result.row.bar, unit),
        _number(result.value, unit),
        _number(result.upper, unit),
        "" if result.band is None else f"{100 * result.band:.0f} %",
        result.verdict,
        _number(result.seconds),
        _number(result.control_seconds),
        _number(result.cpu),
        "" if result.rate is None else f"{result.rate:,.0f}",
        "" if not result.peak else f"{result.peak / 1e6:.0f}",
        str(result.pairs),
    ]


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.3g} {unit}".strip()


def _described(result: Result) -> str:
    row, on = result.row, result.row.conditions
    work = row.work if row.control == "-" else f"{row.work}; against {row.control}"
    where = f"transport {on.transport}, TLS {on.tls}, fsync {on.fsync}"
    parts = [work, f"{where}, durable: {on.durability}, start-up {on.startup}"]
    if row.unit == "ms":
        parts.append(", ".join(f"{name} {value:.3g}" for name, value in result.facts.items()))
    if result.wrong:
        parts.append(f"{len(result.wrong)} runs count for nothing: {'; '.join(sorted(set(result.wrong)))}")
    return ". ".join(part for part in parts if part)


def machine(server: int) -> dict[str, Any]:
    """Return what the figures depend on."""
    packages = ("etl-core", "etl-postgres-cdc", "etl-duckdb", "duckdb", "pyarrow", "psycopg")
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgres": server,
        "settings": SETTINGS,
        "packages": {name: version(name) for name in packages},
        "command": sys.argv[1:],
        "undecided_above": UNDECIDED,
    }


def write(path: Path, facts: Mapping[str, Any], parts: Mapping[str, Sequence[Result]]) -> None:
    """Write everything as JSON."""
    results = {name: [result.to_json() for result in part] for name, part in parts.items()}
    path.write_text(json.dumps({"machine": facts, **results}, indent=1) + "\n")
