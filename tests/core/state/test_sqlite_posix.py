"""The sqlite store under accidents that only POSIX systems know; conftest.py leaves it out elsewhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def stepped_down(directory: Path) -> Iterator[Path]:
    """A directory that this process may read and not write, root included: it steps down meanwhile."""
    directory.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield directory
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o755)


@pytest.fixture
def directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


@pytest.fixture
def unprivileged(directory: Path) -> Iterator[Path]:
    with stepped_down(directory):
        yield directory


@pytest.mark.parametrize("running", [False, True])
def test_what_may_only_be_read_can_be_read(directory: Path, running: bool) -> None:
    path = directory / "state.db"
    writer, reader = (SqliteStore(SqliteConfig(path=path)) for _ in range(2))
    fence = writer.claim("shop")
    writer.save(fence, Position(1, 1, "x"))
    writer.note(fence, {"rows": 1})
    if not running:
        writer.close()
    for file in directory.iterdir():
        file.chmod(0o444)
    with stepped_down(directory):
        assert (reader.load("shop"), reader.noted("shop")) == (Position(1, 1, "x"), {"rows": 1})
        assert (reader.holder("shop") is not None, len(reader.history("shop"))) == (running, 1)
        with pytest.raises(StateError):
            reader.claim("shop")
        reader.close()
    writer.close()


@pytest.mark.parametrize("below", ["state.db", "new/state.db"])
def test_a_read_only_directory_is_a_clear_error(unprivileged: Path, below: str) -> None:
    store = SqliteStore(SqliteConfig(path=unprivileged / below))
    assert store.load("shop") is None
    for attempt in (store.check, lambda: store.claim("shop")):
        with pytest.raises(StateError) as caught:
            attempt()
        assert "writable" in str(caught.value.hint)
        assert caught.value.path == unprivileged / below
