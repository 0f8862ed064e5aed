"""What a connector leaves behind in its process: threads, open files and connections, child processes."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from pathlib import Path

__all__ = ["Census"]

_PROCESSES = Path("/proc")
_FDS = Path("/proc/self/fd")
#: Handles of the kernel's own that hold nothing a user would miss.
_HARMLESS = ("anon_inode:", "pipe:", "/dev/", "/proc/")


class Census:
    """Counts what is there now; `left` says what has come since, once it had time to go away."""

    def __init__(self) -> None:
        gc.collect()
        self._threads = set(threading.enumerate())
        self._children = _children()
        self._handles = _handles()

    def left(self, patience: float) -> list[str]:
        """Return what is new: threads, child processes, open handles. Waits up to `patience` seconds."""
        deadline = time.monotonic() + patience
        while (found := self._new()) and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.02)
        return found

    def _new(self) -> list[str]:
        threads = [f"thread {each.name}" for each in threading.enumerate() if each not in self._threads]
        handles = _handles() - self._handles
        children = [f"process {name}" for pid, name in _children().items() if pid not in self._children]
        return [*threads, *children, *(f"open {target}" for target in handles.elements())]


def _children() -> dict[int, str]:
    """Return the child processes of this one by pid; empty where the system does not list them."""
    found: dict[int, str] = {}
    for status in _PROCESSES.glob("[0-9]*/stat"):
        try:
            before, _, after = status.read_text(encoding="utf-8", errors="replace").rpartition(")")
        except OSError:  # it has just ended
            continue
        if int(after.split()[1]) == os.getpid():
            found[int(status.parent.name)] = before.partition("(")[2]
    return found


def _handles() -> Counter[str]:
    """Count open files and sockets by what they lead to; empty where the system does not list them."""
    if not _FDS.is_dir():
        return Counter()
    found: Counter[str] = Counter()
    for handle in list(_FDS.iterdir()):
        try:
            target = str(handle.readlink())
        except OSError:  # the handle of the listing itself
            continue
        if target.startswith("socket:"):
            found["socket"] += 1
        elif not target.startswith(_HARMLESS):
            found[target] += 1
    return found
