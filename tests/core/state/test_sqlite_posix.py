"""The sqlite store under accidents that only POSIX systems know; conftest.py leaves it out elsewhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl_core.errors import StateError
from etl_core.model import Position
from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore


def test_a_forked_child_does_not_keep_a_dead_parents_claim(store: SqliteStore, spawn: Any) -> None:
    body = """
    store.claim("shop")
    if os.fork() == 0:
        print("child", flush=True)
        sys.stdin.readline()
        os._exit(0)
    signal.pause()
    """
    parent = spawn(body)
    assert parent.line() == "child"
    parent.kill()
    store.release(store.claim("shop"))
    parent.close()


@pytest.mark.parametrize("accident", ["deleted", "replaced"])
def test_a_file_removed_under_a_run_stops_it(store: SqliteStore, path: Path, accident: str) -> None:
    fence = store.claim("shop")
    store.save(fence, Position(1, 1, None))
    path.rename(path.with_suffix(".gone"))
    if accident == "replaced":
        path.write_bytes(b"")
    with pytest.raises(StateError, match="deleted or replaced"):
        store.save(fence, Position(1, 2, None))
    store.release(fence)


def test_a_write_that_the_system_refuses_is_a_state_error(store: SqliteStore, spawn: Any) -> None:
    body = """
    import resource
    fence = store.claim("shop")
    store.save(fence, Position(1, 1, "x"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    try:
        store.save(fence, Position(1, 2, "y" * 1_000_000))
    except StateError as error:
        print("StateError", error.hint is not None, flush=True)
    """
    process = spawn(body)
    assert process.line() == "StateError True"
    process.finish()
    assert store.load("shop") == Position(1, 1, "x")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory that this process may read and not write, root included: it steps down meanwhile."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield directory
    if root:
        os.seteuid(0)
    directory.chmod(0o755)
    shutil.rmtree(directory)


@pytest.mark.parametrize("below", ["state.db", "new/state.db"])
def test_a_read_only_directory_is_a_clear_error(unprivileged: Path, below: str) -> None:
    store = SqliteStore(SqliteConfig(path=unprivileged / below))
    assert store.load("shop") is None
    for attempt in (store.check, lambda: store.claim("shop")):
        with pytest.raises(StateError) as caught:
            attempt()
        assert "writable" in str(caught.value.hint)
        assert caught.value.path == unprivileged / below
