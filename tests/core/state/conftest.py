"""A store on a file, and other processes that use the same file."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore

collect_ignore = ["test_sqlite_posix.py"] if sys.platform == "win32" else []

PRELUDE = """
import os, sys, signal
from pathlib import Path
from etl_core.errors import StateError
from etl_core.model import Position
from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore
store = SqliteStore(SqliteConfig(path=Path(sys.argv[1])))
"""


class Child:
    """A Python process with a `store` on the shared file; it is gone when the test ends."""

    def __init__(self, path: Path, body: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(body), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def go(self) -> None:
        """Answer the process's `sys.stdin.readline()`."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def finish(self) -> None:
        self._process.communicate("\n", timeout=30)

    def kill(self) -> None:
        """SIGKILL, and wait until it has happened."""
        self._process.kill()
        self._process.wait(30)

    def close(self) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(SqliteConfig(path=path))
    yield store
    store.close()


@pytest.fixture
def spawn(path: Path) -> Iterator[Callable[[str], Child]]:
    children: list[Child] = []

    def start(body: str) -> Child:
        children.append(Child(path, body))
        return children[-1]

    yield start
    for child in children:
        child.close()
