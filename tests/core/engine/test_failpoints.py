from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from etl_core.engine import failpoints

CODE = """
from etl_core.engine.failpoints import hit
hit("after_flush"); print("first", flush=True)
hit("other")
hit("after_flush"); print("second", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(("point", "printed"), [("after_flush", ""), ("after_flush:2", "first")])
def test_a_failpoint_kills_the_process_the_nth_time(point: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "ETL_FAILPOINT": point},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.strip() == printed


def test_passing_a_point_before_its_turn_kills_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_name", "after_flush")
    monkeypatch.setattr(failpoints, "_count", "1000")
    failpoints.hit("after_flush")
    failpoints.hit("after_flush")
    assert failpoints._passed["after_flush"] == 2


def test_without_the_variable_nothing_happens() -> None:
    env = {name: value for name, value in os.environ.items() if name != "ETL_FAILPOINT"}
    done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["first", "second"]
