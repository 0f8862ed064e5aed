"""The live table of a run: per stream rows, rows per second and how far a snapshot is; the lag."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from attrs import Factory, define

from etl_core.cli.figures import behind, copied, eta, kept, rate
from etl_core.cli.output import amount, size

if TYPE_CHECKING:
    from rich.console import Group, JustifyMethod, RenderableType

    from etl_core.events import Event

__all__ = ["Board"]

#: Streams of a pipeline that are shown: those that moved last.
_SHOWN = 15

#: The columns, and the width of the terminal from which on there is room for them.
_COLUMNS = {"stream": 0, "phase": 0, "read": 0, "written": 80, "size": 110, "rows/s": 0, "eta": 0}


@define
class _Line:
    """One stream of one pipeline; `copied` and `estimate` are its snapshot's rows, `moved` when it did.

    `reading` and `writing` are rows per second, as the run measured them last.
    """

    phase: str = "changes"
    read: int = 0
    written: int = 0
    bytes: int = 0
    copied: int | None = None
    estimate: int | None = None
    moved: float = 0.0
    reading: float = 0.0
    writing: float = 0.0


@define
class _Head:
    """One pipeline; `lag` is the last event's facts."""

    phase: str = "waiting"
    lag: Mapping[str, Any] | None = None
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
            head = self._heads.setdefault(event.pipeline, _Head())
            stream = event.facts.get("stream")
            if stream is not None:
                _take_of_stream(head.lines.setdefault(str(stream), _Line()), event.name, event.facts)
            _take(head, event.name, event.facts)

    def render(self, width: int) -> Group:
        """Return what to draw on a terminal so many characters wide."""
        from rich.console import Group

        with self._mutex:
            parts = [_drawn(name, head, width) for name, head in self._heads.items()]
        return Group(*(part for some in parts for part in some))


def _take(head: _Head, name: str, facts: Mapping[str, Any]) -> None:
    match name:
        case "run_started" | "batch_written":
            head.phase = "running"
        case "rows_rejected":
            head.rejected += facts["rows"]
        case "retrying":
            head.phase, head.retries = "retrying", head.retries + 1
        case "lag":
            head.lag = facts
        case "throughput":
            for stream, rates in facts["streams"].items():
                line = head.lines.setdefault(stream, _Line())
                line.reading, line.writing = rates["rows_read_per_second"], rates["rows_written_per_second"]
        case "run_finished":
            head.phase = str(facts.get("status"))


def _take_of_stream(line: _Line, name: str, facts: Mapping[str, Any]) -> None:
    line.moved = monotonic()
    match name:
        case "batch_read":
            line.read += facts["rows"]
            line.copied = facts["snapshot_rows"]
        case "batch_written":
            line.written += facts["rows"]
            line.bytes += facts["bytes"]
        case "snapshot_started":
            line.phase, line.estimate = "snapshot", facts["estimate"]
        case "snapshot_finished":
            line.phase = "changes"


def _drawn(name: str, head: _Head, width: int) -> Iterator[RenderableType]:
    """Yield a line about a pipeline and the table of its streams."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    yield Text.assemble((name, "bold"), "  ", "  ".join(_facts(head)))
    if not head.lines:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = [number for number, least in enumerate(_COLUMNS.values()) if width >= least]
    for number in columns:
        justify: JustifyMethod = "left" if number < 2 else "right"
        table.add_column(list(_COLUMNS)[number], justify=justify, no_wrap=True)
    for row in _rows(head):
        table.add_row(*(Text(row[number]) for number in columns))
    yield Padding(table, (0, 0, 0, 2))


def _facts(head: _Head) -> Iterator[str]:
    """Yield what there is to say about a pipeline."""
    yield head.phase
    if head.retries:
        yield f"{head.retries} retries"
    if head.rejected:
        yield f"{head.rejected} rejected"
    lag = "unknown" if head.lag and head.lag["error"] else behind(head.lag)
    if lag:
        yield f"lag {lag}"
    if log := kept(head.lag):
        yield f"log kept {log}"


def _rows(head: _Head) -> Iterator[list[str]]:
    shown = sorted(head.lines, key=lambda stream: -head.lines[stream].moved)[:_SHOWN]
    for stream in sorted(shown):
        yield [stream, *_cells(head.lines[stream])]
    if len(head.lines) > len(shown):
        yield [f"and {amount(len(head.lines) - len(shown))} more", *[""] * (len(_COLUMNS) - 1)]


def _cells(line: _Line) -> list[str]:
    read, left = amount(line.read), ""
    if line.phase == "snapshot" and line.copied is not None:
        read, left = copied(line.copied, line.estimate), eta(line.copied, line.estimate, line.reading)
    return [line.phase, read, amount(line.written), size(line.bytes), rate(line.writing), left]
