"""The how-to: from an empty directory to rows in the emulated account, by the commands that it shows."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.shop import wait_until

DOCS = Path(__file__).resolve().parents[3] / "docs"
GUIDE = (DOCS / "how-to" / "postgres-to-snowflake.md").read_text()
pytestmark = pytest.mark.timeout(150)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found


@pytest.fixture
def run(pg: Any, tmp_path: Path, port: int) -> Iterator[Callable[[str], str]]:
    """Run a command line of the guide in a directory with its examples; the emulator is on another port."""
    for name in ("snowflake.yaml", "snowflake_rows.py"):
        text = (DOCS / "examples" / name).read_text()
        (tmp_path / name).write_text(text.replace("8443", str(port)))
    environment = {**os.environ, "SHOP_DSN": pg.dsn, "AWS_EC2_METADATA_DISABLED": "true"}
    python = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(line: str) -> str:
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env={**environment, "PATH": python}, text=True,
            capture_output=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    command = next(line for line in _lines() if "etl_snowflake.emulator" in line).split()[1:]
    serving = [sys.executable, *command[:-1], str(port)]
    with (tmp_path / "emulator.log").open("w") as log:
        emulator = subprocess.Popen(serving, cwd=tmp_path, stdout=log, stderr=log)
    try:
        wait_until(lambda: "Ctrl-C" in (tmp_path / "emulator.log").read_text())
        yield run
    finally:
        emulator.send_signal(signal.SIGINT)
        emulator.wait(20)


def _lines() -> list[str]:
    return [line for block in _blocks("console") for line in block.splitlines()]


def _said(start: str) -> list[str]:
    return [line for line in _lines() if line.startswith(start)]


def test_the_guide(pg: Any, run: Callable[[str], str]) -> None:
    data, changes, *_ = _blocks("sql")
    pg.execute(*[each for each in data.split(";\n") if each.strip()])
    check, once = _said("etl-core")
    assert "snowflake" in run(check)
    run(once)
    orders, customer = _said("python snowflake_rows.py")
    assert run(orders) == "1000 750750.00\n"
    assert run(customer) == "customer 7 new\n"
    pg.execute(*[each for each in changes.split(";\n") if each.strip()])
    run(once)
    assert run(orders) == f"999 {750750 + 10 - 16.5:.2f}\n"
