"""What a run shows while it goes: a live table on a terminal, log lines otherwise."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from loguru import logger

from etl_core.cli.board import Board
from etl_core.cli.logs import write_through
from etl_core.cli.output import amount

if TYPE_CHECKING:
    from etl_core.events import Event

__all__ = ["Lines", "showing"]

#: Seconds between two lines about rows.
_EVERY = 5.0

_NOTABLE = {
    "run_started": "started",
    "snapshot_started": "snapshot of {stream} started",
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
            yield _both(board.take, Lines(rows=False).take)
    else:
        yield Lines(rows=True).take


def _both(*takers: Callable[[Event], None]) -> Callable[[Event], None]:
    def take(event: Event) -> None:
        for taker in takers:
            taker(event)

    return take


@contextmanager
def _drawn(board: Board) -> Iterator[Board]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    with Live(get_renderable=board.render, console=console, refresh_per_second=4, transient=True):
        write_through(lambda line: console.print(Text.from_ansi(line.rstrip("\n"))))
        try:
            yield board
        finally:
            write_through(None)


class Lines:
    """Logs what happens; about rows, if asked, every few seconds."""

    def __init__(self, *, rows: bool) -> None:
        self._rows = rows
        self._mutex = threading.Lock()
        self._written: dict[str, int] = {}
        self._said: dict[str, float] = {}

    def take(self, event: Event) -> None:
        if text := _NOTABLE.get(event.name):
            logger.bind(pipeline=event.pipeline).info(_filled(text, event))
        elif event.name == "batch_written":
            with self._mutex:
                before = self._written.get(event.pipeline, 0)
                self._written[event.pipeline] = before + int(event.facts["rows"])
        elif event.name == "committed" and self._rows:
            self._committed(event.pipeline)

    def _committed(self, pipeline: str) -> None:
        with self._mutex:
            now, written = monotonic(), self._written.get(pipeline, 0)
            if now - self._said.get(pipeline, -_EVERY) < _EVERY:
                return
            self._said[pipeline] = now
        logger.bind(pipeline=pipeline).info("{} rows durable", amount(written))


def _filled(text: str, event: Event) -> str:
    """Fill in facts; those an event lacks become a question mark."""
    for key in ("stream", "column", "rows", "stage", "code", "status"):
        text = text.replace("{" + key + "}", str(event.facts.get(key, "?")))
    return text
