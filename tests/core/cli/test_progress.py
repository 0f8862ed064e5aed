"""What a run shows while it goes: on a real terminal, in log lines."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from etl_core.cli.board import Board
from etl_core.cli.output import amount, size
from etl_core.cli.progress import Lines, showing
from etl_core.events import Event

Document = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]


def event(name: str, pipeline: str = "shop", **facts: Any) -> Event:
    return Event(name, pipeline, 0.0, facts)


def drawn(board: Board) -> list[str]:
    from rich.console import Console

    console = Console(width=120, file=None)
    with console.capture() as captured:
        console.print(board.render())
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_a_board_adds_up_what_it_is_told() -> None:
    board = Board(["shop", "next"])
    stream = {"stream": "public.orders"}
    for told in (
        event("run_started"),
        event("snapshot_started", **stream),
        event("batch_read", rows=1500, bytes=9, **stream),
        event("batch_written", rows=1000, bytes=2048, mode="append", **stream),
        event("batch_written", rows=1, bytes=10, mode="append", stream="public.a"),
        event("rows_rejected", rows=2, code="x", stage="y", **stream),
        event("metric", metric="lag.bytes", value=1 << 20, kind="gauge", labels={}),
        event("metric", metric="lag.seconds", value=2.5, kind="gauge", labels={}),
        event("metric", metric="other", value=1, kind="count", labels={}),
        event("committed", epoch=1, n=1),
    ):
        board.take(told)
    assert drawn(board) == [
        "pipeline stream phase read written size rows/s lag",
        "shop 2 rejected running 1.0 MiB, 2.5 s",
        "public.a changes 0 1 10 B 0",
        "public.orders snapshot 1,500 1,000 2.0 KiB 0",
        "next waiting",
    ]
    board.take(event("snapshot_finished", rows=5, **stream))
    board.take(event("retrying", error="x", message="y", attempt=1, wait_seconds=1))
    assert "shop 1 retries, 2 rejected retrying 1.0 MiB, 2.5 s" in drawn(board)
    board.take(event("metric", metric="lag.seconds", value=1, kind="gauge", labels={}))
    board.take(event("run_finished", status="ok"))
    assert "shop 1 retries, 2 rejected ok 1.0 MiB, 1.0 s" in drawn(board)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, format="{extra[pipeline]}: {message}")
    yield lines
    logger.remove(handler)


def test_lines_say_what_happened_and_now_and_then_how_much(logged: list[str]) -> None:
    with showing([], quiet=False, live=True) as take:
        take(event("snapshot_started", stream='"a{b}".c'))
        for _ in range(3):
            take(event("batch_written", stream="a", rows=700, bytes=1, mode="append"))
            take(event("committed", epoch=1, n=1))
        take(event("rows_rejected", stream="a", rows=2, code="no_base_row", stage="destination"))
        take(event("schema_changed"))
    assert [line.strip() for line in logged] == [
        'shop: snapshot of "a{b}".c started',
        "shop: 700 rows durable",
        "shop: 2 rows of a rejected by destination: no_base_row",
        "shop: schema of ? changed",
    ]


def test_quiet_is_quiet_and_lines_may_leave_rows_to_the_board(logged: list[str]) -> None:
    with showing([], quiet=True, live=True) as take:
        take(event("snapshot_started", stream="a"))
    Lines(rows=False).take(event("committed", epoch=1, n=1))
    assert logged == []


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (1 << 60, "1048576.0 TiB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text
    assert amount(1234567) == "1,234,567"


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_gets_a_live_table_and_the_summary(start: Start, document: Document) -> None:
    path = document("shop", extract={"endless": True, "rows": 4})
    ours, theirs = pty.openpty()
    process = start("run", path, stderr=theirs, environ={"COLUMNS": "120", "TERM": "xterm"})
    os.close(theirs)
    seen = ""
    while not re.search(r"public\.numbers\s+changes", seen):
        seen += os.read(ours, 4096).decode()
    process.terminate()
    with suppress(OSError):  # the other end is closed
        while chunk := os.read(ours, 4096):
            seen += chunk.decode()
    out = process.communicate(timeout=30)[0]
    assert process.returncode == 130, (out, seen)
    assert "shop: started" in seen
    assert "rows/s" in seen
    assert "rows durable" not in seen
