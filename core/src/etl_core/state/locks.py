"""A lock on a file that the operating system frees when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["FileLock"]

if sys.platform == "win32":  # pragma: no cover - the other branch is the one of this platform
    import msvcrt

    _BEYOND = 1 << 30  # locked bytes cannot be read there, and the note must be

    def _lock(fd: int) -> None:
        os.lseek(fd, _BEYOND, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


_held: set[int] = set()


def _leave_to_parent() -> None:
    """Close what a forked child inherited: a lock must die with the process that took it."""
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


class FileLock:
    """An exclusive lock, between processes and within one; the file says who holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, note: str = "") -> bool:
        """Take the lock without waiting and leave `note` for those who fail to. Raises OSError."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(fd)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            return False
        _held.add(fd)
        self._fd = fd
        self._write(fd, note)
        return True

    def held(self) -> bool:
        """Say whether somebody holds the lock; needs no right to write. Raises OSError."""
        fd = os.open(self.path, os.O_RDONLY)
        _held.add(fd)
        try:
            _lock(fd)
        except (BlockingIOError, PermissionError):
            return True
        finally:
            _held.discard(fd)
            os.close(fd)
        return False

    @staticmethod
    def _write(fd: int, note: str) -> None:
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, note.encode())

    def release(self) -> None:
        """Give the lock back; harmless when it is not held. The file stays, or two could lock two files."""
        if self._fd in _held:
            _held.discard(self._fd)
            os.close(self._fd)
        self._fd = None

    def note(self) -> str:
        """Return what the last holder wrote."""
        return self.path.read_text() if self.path.exists() else ""
