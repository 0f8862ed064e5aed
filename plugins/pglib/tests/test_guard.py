from __future__ import annotations

import json
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
            "log": str(directory / "log"),
            "identity": {},
            "owners": str(directory / "owners.lock"),
            "home": str(directory),
            "temporary": True,
        }
    )


def test_without_owners_the_server_is_stopped_and_what_is_temporary_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    assert guard.main(order(tmp_path, "import signal; signal.pause()")) != 0
    assert int(capsys.readouterr().out) > 0
    assert not tmp_path.exists()


def test_a_server_that_ends_by_itself_leaves_its_data(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "data").mkdir()
    with (tmp_path / "owners.lock").open("wb") as owner:
        fcntl.flock(owner, fcntl.LOCK_SH)
        assert guard.main(order(tmp_path, "print('hello')")) == 0
    assert (tmp_path / "data").exists()
    assert (tmp_path / "log").read_text() == "hello\n"
