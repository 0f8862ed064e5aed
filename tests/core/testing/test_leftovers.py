from __future__ import annotations

import threading
from pathlib import Path

import pytest

from etl_core.testing import leftovers
from etl_core.testing.leftovers import Census


def test_what_was_there_before_is_not_left_behind(tmp_path: Path) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    with (tmp_path / "before").open("w"):
        assert Census().left(0) == []
    stop.set()
    thread.join()


def test_what_ends_in_time_is_not_left_behind() -> None:
    census = Census()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="late")
    thread.start()
    assert census.left(0) == ["thread late"]
    threading.Timer(0.05, stop.set).start()
    assert census.left(30) == []


def test_a_second_handle_of_one_file_counts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("w"):
        census = Census()
        with path.open():
            assert census.left(0) == [f"open {path}"]
        assert census.left(0) == []


def test_where_the_system_lists_nothing_threads_are_still_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leftovers, "_PROCESSES", tmp_path)
    monkeypatch.setattr(leftovers, "_FDS", tmp_path / "none")
    with (tmp_path / "file").open("w"):
        assert Census().left(0) == []
