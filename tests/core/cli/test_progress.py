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
from etl_core.cli.figures import behind, copied, eta, kept, rate, span
from etl_core.cli.output import amount, size
from etl_core.cli.progress import Lines, showing
from etl_core.events import Event

Document = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]


LAG = {
    "bytes": 1 << 20,
    "seconds": 2.5,
    "retained_bytes": 28 << 20,
    "remaining_bytes": None,
    "status": "reserved",
    "error": None,
}
UNKNOWN = {**dict.fromkeys(LAG), "error": "RetryableError"}


def event(name: str, pipeline: str = "shop", /, **facts: Any) -> Event:
    return Event(name, pipeline, 0.0, facts)


def drawn(board: Board, width: int = 160) -> list[str]:
    from rich.console import Console

    console = Console(width=width, file=None)
    with console.capture() as captured:
        console.print(board.render(width))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_a_board_adds_up_what_it_is_told() -> None:
    board = Board(["shop", "next"])
    stream = {"stream": "public.orders"}
    for told in (
        event("run_started"),
        event("snapshot_started", estimate=None, **stream),
        event("batch_read", rows=1500, bytes=9, snapshot_rows=1500, **stream),
        event("batch_written", rows=1000, bytes=2048, mode="append", **stream),
        event("batch_written", rows=1, bytes=10, mode="append", stream="public.a"),
        event("rows_rejected", rows=2, code="x", stage="y", **stream),
        event("lag", **LAG),
        event("metric", metric="other", value=1, kind="count", labels={}),
        event("committed", epoch=1, n=1),
    ):
        board.take(told)
    assert drawn(board) == [
        "shop running 2 rejected lag 1.0 MiB, 2.5 s log kept 28.0 MiB, reserved",
        "stream phase read written size rows/s eta",
        "public.a changes 0 1 10 B 0",
        "public.orders snapshot 1,500 1,000 2.0 KiB 0",
        "next waiting",
    ]
    board.take(event("snapshot_finished", rows=5, **stream))
    board.take(event("retrying", error="x", message="y", attempt=1, wait_seconds=1))
    assert "shop retrying 1 retries 2 rejected lag 1.0 MiB, 2.5 s log kept 28.0 MiB, reserved" in drawn(board)
    board.take(event("lag", **UNKNOWN))
    assert "shop retrying 1 retries 2 rejected lag unknown" in drawn(board)
    board.take(event("lag", **{**LAG, "seconds": 1.0}))
    board.take(event("run_finished", status="ok"))
    assert "shop ok 1 retries 2 rejected lag 1.0 MiB, 1.0 s log kept 28.0 MiB, reserved" in drawn(board)


def test_a_board_shows_how_far_a_snapshot_is() -> None:
    board, stream = Board(["shop"]), "public.orders"
    board.take(event("snapshot_started", stream=stream, estimate=5_000_000))

    def read(rows: int, so_far: int | None, reading: float, writing: float = 0.0) -> str:
        board.take(event("batch_read", stream=stream, rows=rows, bytes=1, snapshot_rows=so_far))
        rates = {**MOVED, "rows_read_per_second": reading, "rows_written_per_second": writing}
        board.take(event("throughput", seconds=2.0, streams={stream: rates}))
        [line] = [line for line in drawn(board) if line.startswith(stream)]
        return line

    assert read(0, 0, 0.0) == "public.orders snapshot 0 / ~5,000,000 (0 %) 0 0 B 0"
    line = read(1_000_000, 1_000_000, 1e6)
    assert line == "public.orders snapshot 1,000,000 / ~5,000,000 (20 %) 0 0 B 0 4.0 s"
    line = read(400_000, 1_400_000, 7e5, 20_000.0)
    assert line == "public.orders snapshot 1,400,000 / ~5,000,000 (28 %) 0 0 B 20k 5.1 s"
    line = read(3_600_001, 5_000_001, 1e6)
    assert line == "public.orders snapshot 5,000,001 / ~5,000,000 (more than estimated) 0 0 B 0"
    board.take(event("snapshot_finished", stream=stream))
    assert read(1, None, 1e6) == "public.orders changes 5,000,002 0 0 B 0"


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (110, "stream phase read written size rows/s eta"),
        (109, "stream phase read written rows/s eta"),
        (79, "stream phase read rows/s eta"),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns(width: int, titles: str) -> None:
    board = Board(["shop"])
    stream = {"stream": "public.orders"}
    board.take(event("snapshot_started", estimate=5_000_000, **stream))
    board.take(event("batch_read", rows=1_500_000, bytes=9, snapshot_rows=1_500_000, **stream))
    lines = drawn(board, width)
    assert lines[1] == titles
    assert "public.orders snapshot 1,500,000 / ~5,000,000 (30 %)" in lines[2]
    assert len(lines) == 3


def test_a_board_shows_the_streams_that_moved_last(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1, 1000))
    monkeypatch.setattr("etl_core.cli.board.monotonic", lambda: float(next(now)))
    board = Board(["shop"])
    for n in [*range(100), 7]:
        board.take(event("batch_written", stream=f"t{n:03}", rows=1, bytes=1, mode="append"))
    names = [line.split()[0] for line in drawn(board)[2:-1]]
    assert names == ["t007", *(f"t{n:03}" for n in range(86, 100))]
    assert drawn(board)[-1] == "and 85 more"


#: Of a `throughput` event.
MOVED = {
    "rows_read": 700,
    "rows_written": 700,
    "rows_read_per_second": 350.0,
    "rows_written_per_second": 350.0,
    "phase": "changes",
    "snapshot_rows": None,
    "snapshot_estimate": None,
}
COPYING = {
    "phase": "snapshot",
    "snapshot_rows": 1234,
    "snapshot_estimate": 5000,
    "rows_read_per_second": 12_000.0,
}


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, format="{extra[pipeline]}: {message}")
    yield lines
    logger.remove(handler)


def test_lines_say_what_happened_and_now_and_then_how_much(logged: list[str]) -> None:
    with showing([], quiet=False, live=True) as take:
        take(event("snapshot_started", stream='"a{b}".c', estimate=None))
        take(event("snapshot_started", stream="b", estimate=5000))
        take(event("lag", **{**LAG, "bytes": 0, "seconds": 0.0}))
        for _ in range(3):
            take(event("batch_written", stream="a", rows=700, bytes=1, mode="append"))
            take(event("throughput", seconds=2.0, streams={"a": MOVED, "b": {**MOVED, **COPYING}}))
            take(event("committed", epoch=1, n=1))
            take(event("lag", **LAG))
        take(event("rows_rejected", stream="a", rows=2, code="no_base_row", stage="destination"))
        take(event("schema_changed"))
    assert [line.strip() for line in logged] == [
        'shop: snapshot of "a{b}".c started',
        "shop: snapshot of b started, about 5,000 rows",
        "shop: snapshot of b: 1,234 / ~5,000 (24 %) rows, 12k rows/s, eta 0.3 s",
        "shop: 700 rows durable, 700 rows/s",
        "shop: lag 1.0 MiB, 2.5 s; log kept: 28.0 MiB, reserved",
        "shop: 2 rows of a rejected by destination: no_base_row",
        "shop: schema of ? changed",
    ]


def test_a_lag_that_is_not_known_is_said(logged: list[str]) -> None:
    lines = Lines(figures=True)
    lines.take(event("lag", **UNKNOWN))
    lines.take(event("lag", **{**LAG, "retained_bytes": None, "status": None}))
    Lines(figures=True).take(event("lag", **{**LAG, "retained_bytes": None, "status": None}))
    assert [line.strip() for line in logged] == [
        "shop: lag unknown: RetryableError",
        "shop: lag 1.0 MiB, 2.5 s",
    ]


def test_quiet_is_quiet_and_lines_may_leave_rows_to_the_board(logged: list[str]) -> None:
    with showing([], quiet=True, live=True) as take:
        take(event("snapshot_started", stream="a"))
    Lines(figures=False).take(event("committed", epoch=1, n=1))
    assert logged == []


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (1 << 60, "1048576.0 TiB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text
    assert amount(1234567) == "1,234,567"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.04, "0.0 s"),
        (2.46, "2.5 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (725, "12 min 5 s"),
        (3600 + 59, "1 h"),
        (12_000, "3 h 20 min"),
        (90_000.4, "1 d 1 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999.4, "9,999"), (9_999.5, "10k"), (410_400, "410k"), (999_500, "1.0M"), (3.6e6, "3.6M")],
)
def test_rates(number: float, text: str) -> None:
    assert rate(number) == text


@pytest.mark.parametrize(
    ("rows", "estimate", "text", "left"),
    [
        (1_234_567, 5_000_000, "1,234,567 / ~5,000,000 (24 %)", "9.2 s"),
        (0, 5, "0 / ~5 (0 %)", "0.0 s"),
        (4_999_999, 5_000_000, "4,999,999 / ~5,000,000 (99 %)", "0.0 s"),
        (5_000_000, 5_000_000, "5,000,000 / ~5,000,000 (99 %)", ""),
        (5_000_001, 5_000_000, "5,000,001 / ~5,000,000 (more than estimated)", ""),
        (7, 0, "7", ""),
        (7, None, "7", ""),
    ],
)
def test_how_far_a_snapshot_is(rows: int, estimate: int | None, text: str, left: str) -> None:
    assert copied(rows, estimate) == text
    assert eta(rows, estimate, 410_000) == left
    assert eta(rows, estimate, 0.0) == ""


def test_what_a_lag_lacks_is_left_out() -> None:
    assert (behind(None), kept(None), behind(UNKNOWN), kept(UNKNOWN)) == ("", "", "", "")
    assert behind({**UNKNOWN, "bytes": 0, "seconds": 0.0}) == "0 B, 0 s"
    assert behind({**UNKNOWN, "bytes": 2048}) == "2.0 KiB"
    lost = {**LAG, "retained_bytes": None, "remaining_bytes": 0, "status": "unreserved"}
    assert kept(lost) == "unreserved, 0 B left"


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
