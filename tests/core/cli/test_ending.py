"""The end of a command: its code is kept, and no thread of a plugin holds it up."""

from __future__ import annotations

import atexit
import os

import pytest

from etl_core.cli import ending


@pytest.mark.parametrize(("code", "ended"), [(3, 3), (None, 0), ("a text", 1)])
def test_threads_of_plugins_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int | str | None, ended: int
) -> None:
    done: list[object] = []
    monkeypatch.setattr(ending, "lingering", lambda: ["endless"])
    monkeypatch.setattr(os, "dup2", lambda one, other: done.append((one, other)))
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: done.append("exit functions"))
    monkeypatch.setattr(os, "_exit", done.append)
    ending.end(code)
    assert done == [(2, 1), "exit functions", ended]
    assert "not waiting for threads" in capsys.readouterr().err


def test_where_nothing_holds_it_up_the_end_is_the_interpreters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "lingering", list)
    monkeypatch.setattr(os, "dup2", lambda one, other: None)
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("it ended the process"))
    ending.end(0)
