"""What a connector leaves behind in its process: threads, open files and connections, child processes."""

from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from pathlib import Path

__all__ = ["Census"]

_FDS = Path("/proc/self/fd")
#: Handles of the kernel's own that hold nothing a user would miss.
_HARMLESS = ("anon_inode:", "pipe:", "/dev/", "/proc/")


class Census:
    """Counts what is there now; `left` says what has come since, once it had time to go away."""

    def __init__(self) -> None:
        gc.collect()
        self._threads = set(threading.enumerate())
        self._handles = _handles()

    def left(self, patience: float) -> list[str]:
        """Return what is new: names of threads, targets of open handles. Waits up to `patience` seconds."""
        deadline = time.monotonic() + patience
        while (found := self._new()) and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.02)
        return found

    def _new(self) -> list[str]:
        threads = [f"thread {each.name}" for each in threading.enumerate() if each not in self._threads]
        handles = _handles() - self._handles
        return [*threads, *(f"open {target}" for target in handles.elements())]


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
