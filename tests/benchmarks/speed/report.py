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
from benchmarks.speed.stats import UNDECIDED
from rich.console import Console
from rich.table import Table

__all__ = ["consoles", "machine", "show", "write"]

#: Columns of text that the table needs.
_WIDTH = 150

_STYLES = {"holds": "green", "missed": "red", "failed": "bold red", "undecided": "yellow"}


def consoles() -> tuple[Console, Console]:
    """Return where results go, and where it is said what is being done."""
    return Console(width=max(_WIDTH, Console().width)), Console(stderr=True)


def show(title: str, results: Sequence[Result], console: Console) -> None:
    """Print a table, under which stand conditions and everything that went wrong."""
    cells = [_cells(result) for result in results]
    headings = list(dict.fromkeys(heading for one in cells for heading, text in one.items() if text))
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _LEFT else "right", no_wrap=True)
    for result, one in zip(results, cells, strict=True):
        table.add_row(*(one.get(heading, "") for heading in headings), style=_STYLES.get(result.verdict))
    console.print(table)
    for result in results:
        described = f"{result.row.name}: {_described(result)}"
        console.print(described, highlight=False, markup=False, soft_wrap=True)


_LEFT = ("row", "verdict")


def _cells(result: Result) -> dict[str, str]:
    unit = result.row.unit
    return {
        "row": result.row.name,
        "bar": _number(result.row.bar, unit),
        "median": _number(result.value, unit),
        "upper 90 %": _number(result.upper, unit),
        "A/A \u00b1": "" if result.band is None else f"{100 * result.band:.0f} %",
        "verdict": result.verdict.replace("-", ""),
        **(_costs(result) if result.row.by == "cpu" else _times(result)),
        "peak MB": "" if not result.peak else f"{result.peak / 1e6:.0f}",
        "pairs": str(result.pairs or ""),
    }


def _times(result: Result) -> dict[str, str]:
    return {
        "seconds": _number(result.seconds),
        "control": _number(result.control_seconds),
        "CPU s": _number(result.cpu),
        "rows/s": "" if result.rate is None else f"{result.rate:,.0f}",
        "\u00b5s/row": "" if result.rate is None else f"{1e6 / result.rate:.2f}",
    }


def _costs(result: Result) -> dict[str, str]:
    return {
        "CPU s/M rows": _number(result.cpu_per_million),
        "control's": _number(result.control_cpu_per_million),
        "rows/s": "" if result.rate is None else f"{result.rate:,.0f}",
    }


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


def machine(packages: Sequence[str], **facts: Any) -> dict[str, Any]:
    """Return what the figures depend on: these packages, these facts, and this machine."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        **facts,
        "packages": {name: version(name) for name in packages},
        "command": sys.argv[1:],
        "undecided_above": UNDECIDED,
    }


def write(path: Path, facts: Mapping[str, Any], parts: Mapping[str, Sequence[Result]]) -> None:
    """Write everything as JSON."""
    results = {name: [result.to_json() for result in part] for name, part in parts.items()}
    path.write_text(json.dumps({"machine": facts, **results}, indent=1) + "\n")
