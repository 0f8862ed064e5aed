"""The results as one picture. matplotlib is in the dependency group `bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.speed.results import Result

__all__ = ["HOW", "available", "draw"]

HOW = "matplotlib is not installed: uv sync --group bench (or pip install matplotlib)"
_COLOURS = {"holds": "#2e7d32", "missed": "#c62828", "failed": "#000000", "undecided": "#f9a825"}
_OTHER = "#1565c0"
#: The part whose figures are costs.
_GROWTH = "growth"


def available() -> bool:
    """Say whether a picture can be drawn."""
    return find_spec("matplotlib") is not None


def draw(path: Path, parts: Mapping[str, Sequence[Result]]) -> None:
    """Draw a panel per part: medians with their upper bounds, and a mark at each bar."""
    shown = {name: part for name, results in parts.items() if (part := _drawn(results))}
    import_module("matplotlib").use("Agg")
    plots = import_module("matplotlib.pyplot")
    heights = [len(part) + 1.5 for part in shown.values()] or [1.0]
    figure, axes = plots.subplots(
        len(heights),
        figsize=(10, 0.45 * sum(heights) + 1),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )
    for panel, (name, part) in zip(axes[:, 0], shown.items(), strict=False):
        _panel(panel, name, part)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plots.close(figure)


def _drawn(results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.value is not None]


def _panel(panel: Any, name: str, results: Sequence[Result]) -> None:
    """Draw what is measured: parts of the bar, so that one axis serves all units; else cost, or times."""
    places = range(len(results))
    values, uppers, meaning = _drawn_values(name, results)
    colours = [_COLOURS.get(result.verdict, _OTHER) for result in results]
    errors = [[0.0] * len(values), [max(0.0, u - v) for u, v in zip(uppers, values, strict=True)]]
    panel.barh(places, values, xerr=errors, color=colours, height=0.6)
    if name != _GROWTH:
        panel.axvline(1.0, color="black", linewidth=1)
    panel.set_yticks(places, [_label(result) for result in results])
    panel.invert_yaxis()
    panel.set_xlabel(meaning)
    panel.set_title(name)


def _drawn_values(name: str, results: Sequence[Result]) -> tuple[list[float], list[float], str]:
    """Return values, upper bounds and what they mean."""
    if name == _GROWTH:
        costs = [1e6 / result.rate if result.rate else 0.0 for result in results]
        return costs, costs, "microseconds per row"
    scales = [result.row.bar or 1.0 for result in results]
    values = [(result.value or 0.0) / scale for result, scale in zip(results, scales, strict=True)]
    uppers = [(result.upper or result.value or 0.0) / s for result, s in zip(results, scales, strict=True)]
    barred = any(result.row.bar for result in results)
    return values, uppers, "parts of the bar (less is better)" if barred else "times the control"


def _label(result: Result) -> str:
    bar = f", bar {result.row.bar:.3g}" if result.row.bar else ""
    return f"{result.row.name}\n{result.value:.3g} {result.row.unit}{bar}"
