"""What a connector leaves behind: threads, processes, open files and connections, temporary files."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

__all__ = ["Census", "Process", "is_blind", "own_temporary", "processes"]

_PROCESSES = Path("/proc")
_FDS = Path("/proc/self/fd")
#: Handles that a library may take once and keep; what takes more of them with each use leaves them behind.
_KEPT = ("anon_inode:", "pipe:", "/dev/", "/proc/")
#: The variable of the environment by which processes are known that were started since.
_MARK = "ETL_CONFORMANCE_CENSUS"


@frozen
class Process:
    """A process that the system lists: `state` is Z when it has ended and nobody asked how."""

    pid: int
    name: str
    state: str
    parent: int
    session: int


class Census:
    """Counts what is there now; `left` says what has come since, once it had time to go away.

    Where there is no /proc only threads are counted: see `is_blind`.
    """

    def __init__(self) -> None:
        gc.collect()
        self._mark = os.environ[_MARK] = uuid.uuid4().hex
        self._threads = set(threading.enumerate())
        self._children = _children("")
        self._handles = _handles()

    def left(self, patience: float) -> list[str]:
        """Return what is new, but for handles as libraries keep them. Waits up to `patience` seconds."""
        return _waited(self._new, patience)

    def grown(self, patience: float) -> list[str]:
        """Return of which handles as libraries keep them there are more. Waits as `left` does."""
        return _waited(
            lambda: [f"open {name}" for name in _handles() - self._handles if _is_kept(name)], patience
        )

    def _new(self) -> list[str]:
        threads = [f"thread {each.name}" for each in threading.enumerate() if each not in self._threads]
        children = _children(self._mark)
        processes = [f"process {name}" for pid, name in children.items() if pid not in self._children]
        handles = [f"open {name}" for name in (_handles() - self._handles).elements() if not _is_kept(name)]
        return [*threads, *processes, *handles]


@contextmanager
def own_temporary(directory: Path) -> Iterator[Callable[[], set[str]]]:
    """Have temporary files made in a new directory; give what names those that are there."""
    directory.mkdir()
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(directory)
    try:
        yield lambda: {f"temporary file {each.name}" for each in directory.iterdir()}
    finally:
        tempfile.tempdir = before[0]
        if before[1] is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before[1]


def _waited(found: Callable[[], list[str]], patience: float) -> list[str]:
    deadline = time.monotonic() + patience
    while (new := found()) and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.02)
    return new


def _is_kept(handle: str) -> bool:
    return handle.startswith(_KEPT)


def processes() -> Iterator[Process]:
    """Yield the processes that run here; none where the system does not list them."""
    for directory in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            before, _, after = (directory / "stat").read_text("utf-8", "replace").rpartition(")")
            state, parent, _, session = after.split()[:4]
            name = before.partition("(")[2]
            yield Process(int(directory.name), name, state, int(parent), int(session))


def _children(mark: str) -> dict[int, str]:
    """Return by pid the child processes of this one, and those whose environment has the mark."""
    own = os.getpid()
    return {each.pid: each.name for each in processes() if each.pid != own and _is_ours(each, mark)}


def _is_ours(process: Process, mark: str) -> bool:
    if process.parent == os.getpid():
        return True
    try:
        variables = (_PROCESSES / str(process.pid) / "environ").read_bytes()
    except OSError:  # it has just ended, or is another user's
        return False
    return bool(mark) and f"{_MARK}={mark}".encode() in variables


def is_blind() -> bool:
    """Tell whether only threads can be counted, as there is no /proc."""
    return not _FDS.is_dir()


def _handles() -> Counter[str]:
    """Count open files and sockets by what they lead to; empty where the system does not list them."""
    if is_blind():
        return Counter()
    found: Counter[str] = Counter()
    for handle in list(_FDS.iterdir()):
        try:
            target = str(handle.readlink())
        except OSError:  # the handle of the listing itself
            continue
        kind, numbered, _ = target.partition(":[")
        found[f"{kind}:" if numbered and kind == "pipe" else kind if kind == "socket" else target] += 1
    return found
