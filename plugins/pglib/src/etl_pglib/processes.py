"""What the embedded server needs of the operating system: locks, ports, signals, postmaster.pid."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from etl_core.errors import FatalError

__all__ = ["Postmaster", "alone", "ended", "free_port", "lock", "locked", "same_file", "send"]

#: Below the range from which systems pick the ports of outgoing connections: it is free after a restart.
_PORTS = range(15000, 32000)


@frozen
class Postmaster:
    """What a server wrote into its postmaster.pid; the file may be left over from one that was killed."""

    pid: int
    port: int

    @classmethod
    def ready(cls, data: Path) -> Postmaster | None:
        """Return the server of `data` once it accepts connections (what `pg_ctl -w` waits for as well)."""
        with contextlib.suppress(OSError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return cls(pid=int(lines[0]), port=int(lines[3]))
        return None

    def answers(self) -> bool:
        """Say whether anything accepts connections on its port."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


def lock(file: BinaryIO, *, shared: bool) -> None:
    """Wait for an advisory lock; Windows has none, there only the owner's exit handler ends a server."""
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


def alone(file: BinaryIO) -> bool:
    """Turn a shared lock into the exclusive one, if nobody else shares it."""
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on a file that is made for it."""
    with path.open("ab") as file:
        lock(file, shared=False)
        yield


def same_file(file: BinaryIO, path: Path) -> bool:
    """Say whether `path` still is the file that was opened."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def free_port(wanted: int) -> int:
    """Return `wanted` if it is set and free, else some free port."""
    for port in (wanted, *random.sample(_PORTS, 100)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port:
                probe.bind(("127.0.0.1", port))
                return port
    raise FatalError("no free port for PostgreSQL", "stop what listens on 127.0.0.1")


def ended(pid: int, patience: float) -> bool:
    """Wait at most `patience` seconds for a process, not necessarily a child, to be gone."""
    until = time.monotonic() + patience
    while _exists(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return pid > 0


def send(pid: int, name: str) -> None:
    """Send a signal by name; a process that has ended is fine, 0 (which means a whole group) is nobody."""
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, name, signal.SIGTERM))
