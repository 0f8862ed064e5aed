from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from etl_pglib import guard

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no advisory file locks there")


def order(directory: Path, script: str) -> str:
    (directory / "owners.lock").touch()
    return json.dumps(
        {
            "command": [sys.executable, "-c", script],
            "log": str(directory / "server.log"),
            "identity": {},
            "owners": str(directory / "owners.lock"),
            "home": str(directory),
            "temporary": True,
        }
    )


#: Goes on until it is asked to stop.
SERVER = """
import time
while True:
    time.sleep(0.05)
"""


def test_a_server_is_stopped_also_where_a_shell_has_started_all_of_this_in_the_background(
    tmp_path: Path,
) -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        assert guard.main(order(tmp_path, SERVER)) != 0
    finally:
        signal.signal(signal.SIGQUIT, before)


def test_without_owners_the_server_is_stopped_and_what_is_temporary_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    assert guard.main(order(tmp_path, SERVER)) != 0
    assert int(capsys.readouterr().out) > 0
    assert not tmp_path.exists()


def test_a_server_that_ends_by_itself_leaves_its_data(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "data").mkdir()
    with (tmp_path / "owners.lock").open("wb") as owner:
        fcntl.flock(owner, fcntl.LOCK_SH)
        assert guard.main(order(tmp_path, "print('hello')")) == 0
    assert (tmp_path / "data").exists()
    assert (tmp_path / "server.log").read_text() == "hello\n"


def test_what_others_put_beside_the_data_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data" / "base").mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "owners.lock").touch()
    guard.remove(tmp_path, tmp_path / "owners.lock")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
