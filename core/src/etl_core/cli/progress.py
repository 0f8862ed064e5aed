"""What a run shows while it goes: a live table on a terminal, log lines otherwise."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from loguru import logger

from etl_core.cli.board import Board
from etl_core.cli.figures import behind, copied, eta, kept, rate
from etl_core.cli.logs import write_through
from etl_core.cli.output import amount

if TYPE_CHECKING:
    from etl_core.events import Event

__all__ = ["Lines", "showing"]

#: Seconds between two lines about the same.
_EVERY = 5.0

_NOTABLE = {
    "run_started": "started",
    "snapshot_started": "snapshot of {stream} started{estimated}",
    "snapshot_finished": "snapshot of {stream} finished",
    "schema_changed": "schema of {stream} changed",
    "column_discarded": "column {column} of {stream} is left out",
    "truncated": "{stream} was truncated",
    "rows_rejected": "{rows} rows of {stream} rejected by {stage}: {code}",
    "run_finished": "{status}",
}


@contextmanager
def showing(pipelines: Sequence[str], *, quiet: bool, live: bool) -> Iterator[Callable[[Event], None]]:
    """Give the function that takes events, from any thread, while something shows them."""
    if quiet:
        yield lambda event: None
    elif live and sys.stderr.isatty():
        with _drawn(Board(pipelines)) as board:
            yield _both(board.take, Lines(figures=False).take)
    else:
        yield Lines(figures=True).take


def _both(*takers: Callable[[Event], None]) -> Callable[[Event], None]:
    def take(event: Event) -> None:
        for taker in takers:
            taker(event)

    return take


@contextmanager
def _drawn(board: Board) -> Iterator[Board]:
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)

    def render() -> Group:
        return board.render(console.width)

    with Live(get_renderable=render, console=console, refresh_per_second=4, transient=True):
        write_through(lambda line: console.print(Text.from_ansi(line.rstrip("\n"))))
        try:
            yield board
        finally:
            write_through(None)


class Lines:
    """Logs what happens; also, if asked, every few seconds the figures: rows, snapshots, lag."""

    def __init__(self, *, figures: bool) -> None:
        self._figures = figures
        self._mutex = threading.Lock()
        self._written: dict[str, int] = {}
        self._rate: dict[str, float] = {}
        self._said: dict[tuple[str, str], float] = {}

    def take(self, event: Event) -> None:
        if text := _NOTABLE.get(event.name):
            logger.bind(pipeline=event.pipeline).info(_filled(text, event.facts))
        elif self._figures:
            self._take_figures(event.name, event.pipeline, event.facts)

    def _take_figures(self, name: str, pipeline: str, facts: Mapping[str, Any]) -> None:
        match name:
            case "batch_written":
                with self._mutex:
                    self._written[pipeline] = self._written.get(pipeline, 0) + int(facts["rows"])
            case "committed":
                self._say(pipeline, "rows", self._durable(pipeline))
            case "throughput":
                streams = facts["streams"]
                self._rate[pipeline] = sum(one["rows_written_per_second"] for one in streams.values())
                for stream, one in streams.items():
                    self._say(pipeline, stream, _snapshot(stream, one))
            case "lag":
                self._say(pipeline, "lag", _lag(facts))

    def _durable(self, pipeline: str) -> str:
        with self._mutex:
            rows, per_second = amount(self._written.get(pipeline, 0)), self._rate.pop(pipeline, 0.0)
        return f"{rows} rows durable" + (f", {rate(per_second)} rows/s" if per_second else "")

    def _say(self, pipeline: str, topic: str, text: str) -> None:
        """Log a line, if there is anything to say, and unless one of its topic was said just before."""
        now, key = monotonic(), (pipeline, topic)
        with self._mutex:
            if not text or now - self._said.get(key, -_EVERY) < _EVERY:
                return
            self._said[key] = now
        logger.bind(pipeline=pipeline).info(text)


def _snapshot(stream: str, facts: Mapping[str, Any]) -> str:
    """Say how far a snapshot is, while one is read."""
    rows, estimate = facts["snapshot_rows"], facts["snapshot_estimate"]
    if facts["phase"] != "snapshot" or rows is None:
        return ""
    per_second = facts["rows_read_per_second"]
    left = eta(rows, estimate, per_second)
    return f"snapshot of {stream}: {copied(rows, estimate)} rows, {rate(per_second)} rows/s" + (
        f", eta {left}" if left else ""
    )


def _lag(facts: Mapping[str, Any]) -> str:
    """Say what the lag is, where there is one."""
    if facts["error"]:
        return f"lag unknown: {facts['error']}"
    if not facts["bytes"] and not facts["seconds"]:
        return ""
    log = kept(facts)
    return f"lag {behind(facts)}" + (f"; log kept: {log}" if log else "")


def _filled(text: str, facts: Mapping[str, Any]) -> str:
    """Fill in facts; those an event lacks become a question mark."""
    estimate = facts.get("estimate")
    text = text.replace("{estimated}", f", about {amount(estimate)} rows" if estimate else "")
    for key in ("stream", "column", "rows", "stage", "code", "status"):
        text = text.replace("{" + key + "}", str(facts.get(key, "?")))
    return text
