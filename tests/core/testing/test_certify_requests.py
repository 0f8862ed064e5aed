"""What a worker of `certify` does when nobody asks it any more."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from etl_core.testing.certify import requests


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The signals that would be sent."""
    sent: list[Any] = []
    monkeypatch.setattr(signal, "pthread_kill", lambda thread, number: sent.append(number))
    monkeypatch.setattr(os, "killpg", lambda group, number: sent.append((group, number)))
    monkeypatch.setattr(requests, "_GRACE", 0.05)
    return sent


def lines(*what: str) -> io.StringIO:
    return io.StringIO("".join(json.dumps({"do": one}) + "\n" for one in what))


def test_the_last_request_ends_it_in_peace(tmp_path: Path, signals: list[Any]) -> None:
    with requests.Requests(lines("clauses", requests.END), tmp_path) as asked:
        assert [one["do"] for one in asked] == ["clauses"]
    assert (signals, tmp_path.exists()) == ([], True)


def test_where_nobody_is_there_any_more_the_clause_is_interrupted_and_all_of_it_goes(
    tmp_path: Path, signals: list[Any]
) -> None:
    asked = requests.Requests(lines("clauses"), tmp_path / "made")
    (tmp_path / "made").mkdir(exist_ok=True)
    assert [one["do"] for one in asked] == ["clauses"]
    asked._listener.join()
    assert signals == [signal.SIGINT, (os.getpid(), signal.SIGKILL)]
    assert not (tmp_path / "made").exists()
