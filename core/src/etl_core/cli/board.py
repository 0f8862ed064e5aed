"""The live table of a run: per stream rows, rows per second, lag."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING

from attrs import Factory, define

from etl_core.cli.output import amount, size

if TYPE_CHECKING:
    from rich.table import Table

    from etl_core.events import Event

__all__ = ["Board"]

#: Seconds over which a rate is taken.
_WINDOW = 5.0


@define
class _Line:
    """One stream of one pipeline."""

    phase: str = "changes"
    read: int = 0
    written: int = 0
    bytes: int = 0
    samples: deque[tuple[float, int]] = Factory(deque)

    def rate(self, now: float) -> float:
        """Return rows written per second over the last seconds."""
        self.samples.append((now, self.written))
        while len(self.samples) > 2 and now - self.samples[0][0] > _WINDOW:
            self.samples.popleft()
        since, before = self.samples[0]
        return (self.written - before) / (now - since) if now > since else 0.0


@define
class _Head:
    """One pipeline."""

    phase: str = "waiting"
    behind: dict[str, float] = Factory(dict)
    retries: int = 0
    rejected: int = 0
    lines: dict[str, _Line] = Factory(dict)


class Board:
    """Takes events of these pipelines from any thread; draws what they add up to."""

    def __init__(self, pipelines: Iterable[str]) -> None:
        self._mutex = threading.Lock()
        self._heads = {name: _Head() for name in pipelines}

    def take(self, event: Event) -> None:
        with self._mutex:
            self._take(self._heads.setdefault(event.pipeline, _Head()), event)

    def _take(self, head: _Head, event: Event) -> None:
        facts = event.facts
        stream = facts.get("stream")
        line = head.lines.setdefault(str(stream), _Line()) if stream is not None else _Line()
        match event.name:
            case "batch_read":
                line.read += facts["rows"]
            case "batch_written":
                head.phase = "running"
                line.written += facts["rows"]
                line.bytes += facts["bytes"]
            case "snapshot_started":
                line.phase = "snapshot"
            case "snapshot_finished":
                line.phase = "changes"
            case "rows_rejected":
                head.rejected += facts["rows"]
            case "retrying":
                head.phase, head.retries = "retrying", head.retries + 1
            case "metric" if str(facts["metric"]).startswith("lag."):
                head.behind[facts["metric"]] = facts["value"]
            case "run_started":
                head.phase = "running"
            case "run_finished":
                head.phase = str(facts.get("status"))

    def render(self) -> Table:
        """Return the table as of now."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for title, justify in (("pipeline", "left"), ("stream", "left"), ("phase", "left")):
            table.add_column(title, justify=justify)  # type: ignore[arg-type]
        for title in ("read", "written", "size", "rows/s", "lag"):
            table.add_column(title, justify="right")
        now = monotonic()
        with self._mutex:
            for name, head in self._heads.items():
                for row in _rows(name, head, now):
                    table.add_row(*(Text(cell) for cell in row))
        return table


def _rows(name: str, head: _Head, now: float) -> list[list[str]]:
    notes = [f"{head.retries} retries"] * bool(head.retries) + [f"{head.rejected} rejected"] * bool(
        head.rejected
    )
    first = [name, ", ".join(notes), head.phase, "", "", "", "", _lag(head.behind)]
    return [first] + [
        [
            "",
            stream,
            line.phase,
            amount(line.read),
            amount(line.written),
            size(line.bytes),
            amount(line.rate(now)),
            "",
        ]
        for stream, line in sorted(head.lines.items())
    ]


def _lag(behind: Mapping[str, float]) -> str:
    parts = [size(behind["lag.bytes"])] if "lag.bytes" in behind else []
    parts += [f"{behind['lag.seconds']:.1f} s"] if "lag.seconds" in behind else []
    return ", ".join(parts)
