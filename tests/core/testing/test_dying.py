"""Counting the calls within a call, and dying at one: what the kill clauses within a flush stand on.

Nothing can be traced while a profile function runs, so its parts are also called here by hand.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from etl_core.testing.destination.dying import Calls, _name_of, _written, die_at


def write_and_sync(path: Path) -> int:
    with path.open("wb", buffering=0) as file:
        written = file.write(b"x")
        os.fsync(file.fileno())
    return written


def test_the_calls_within_a_call_are_counted_in_order(tmp_path: Path) -> None:
    calls = Calls()
    assert calls.within(write_and_sync, tmp_path / "x") == 1
    assert "posix.posix.fsync:1" in calls.last
    assert calls.last[0].endswith("write_and_sync:1")


def test_what_is_called_is_named_and_what_is_harmless_is_not() -> None:
    assert _name_of(os.fsync) == "posix.posix.fsync"
    assert _name_of(len) is None
    assert _name_of(os.stat) is None
    assert _written(sys._getframe()) == f"{__name__}.test_what_is_called_is_named_and_what_is_harmless_is_not"


def test_a_place_is_a_name_and_how_often_it_was_called() -> None:
    reached: list[str] = []
    calls = Calls(reached.append)
    frame = sys._getframe()
    for event, function in (("c_call", os.fsync), ("c_call", len), ("c_return", os.fsync), ("call", None)):
        calls._profile(frame, event, function)
    calls._profile(frame, "c_call", os.fsync)
    own = f"{__name__}.test_a_place_is_a_name_and_how_often_it_was_called"
    assert reached == ["posix.posix.fsync:1", f"{own}:1", "posix.posix.fsync:2"]
    assert calls.last == [f"{own}:1", "posix.posix.fsync:2"]


def test_it_dies_at_the_place_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    calls = die_at("posix.posix.fsync:2")
    calls.reached("posix.posix.fsync:1")
    assert killed == []
    calls.reached("posix.posix.fsync:2")
    assert killed == [(os.getpid(), signal.SIGKILL)]
