"""Listings: aligned columns for people, JSON for programs. Nothing here is slow to import."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import click

__all__ = ["amount", "print_json", "print_table", "short", "size"]


def print_json(value: Any) -> None:
    """Print JSON to stdout; what JSON has no form for is printed as text."""
    click.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def print_table(headers: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Print aligned columns; the last one is not padded."""
    table = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headers), *table]) for column in range(len(headers))]
    click.echo(click.style(_line(headers, widths), bold=True))
    for row in table:
        click.echo(_line(row, widths))


def short(value: Any, width: int = 60) -> str:
    """Write a value on one line, cut to a width; nothing for None."""
    if value is None:
        return ""
    text = " ".join((value if isinstance(value, str) else json.dumps(value, default=str)).split())
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def amount(number: float) -> str:
    """Write a count with separators of thousands."""
    return f"{number:,.0f}"


def size(number: float) -> str:
    """Write a number of bytes with a binary unit."""
    step = min(4, int(math.log(number, 1024))) if number >= 1 else 0
    return f"{number / 1024**step:.{1 if step else 0}f} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][step]}"
