"""A private PostgreSQL server from a wheel, for demonstrations and tests.

It needs no installation, no fixed port and no particular user, and it never outlives its owners.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from etl_core.errors import FatalError
from etl_pglib import binaries, guard

__all__ = ["EmbeddedPostgres"]

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_replication_slots": "64",
    "max_wal_senders": "64",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A server for demonstrations and tests has to survive its own crash, not the machine's.
    "fsync": "off",
    "full_page_writes": "off",
}
_SIGNALS = {"smart": "SIGTERM", "fast": "SIGINT", "immediate": "SIGQUIT"}
#: Below the range from which systems pick the ports of outgoing connections: it is free after a restart.
_PORTS = range(15000, 32000)
#: Guards of servers that other owners may still use; kept because Popen complains when it is forgotten.
_left_running: list[subprocess.Popen[str]] = []


class EmbeddedPostgres:
    """One server in one directory: data, log and Unix socket live there; `stop` and `start` keep the data.

    Everybody may connect over 127.0.0.1 as superuser `postgres` without a password, except as `hba`
    lines say; users named `scram_*` and `md5_*` always need one.
    With `temporary` the directory is removed at `close` or with the last owner.
    An instance may be used from any thread, by one at a time.
    """

    def __init__(
        self,
        directory: Path,
        *,
        version: int = 16,
        settings: Mapping[str, str] | None = None,
        hba: Sequence[str] = (),
        temporary: bool = False,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        #: Where the data are: `directory`, or its stand-in where the server's user can reach it.
        self.home = binaries.place(directory)
        self.version = version
        self.settings = dict(settings or {})
        self.hba = list(hba)
        self.temporary = temporary
        self.port = 0
        self._owner: BinaryIO | None = None
        self._guard: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dsn(self) -> str:
        """The superuser's connection over TCP to database `postgres`."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """The superuser's connection over TCP to `database` (a name that needs no escaping in a URL)."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def socket_directory(self) -> Path | None:
        """Where the Unix socket is, or None where its path would be longer than systems allow."""
        path = self.home / "run"
        return path if len(str(path)) < 80 else None

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The postmaster's process id, 0 when none is running."""
        return _running(self.home / "data")

    def program(self, name: str) -> Path:
        """The path of a PostgreSQL program of this version (`psql`, `pg_dump`, ...)."""
        return binaries.find(self.version) / name

    def start(self, deadline: float = 45.0) -> None:
        """Create the data directory if there is none, start, return when connections are accepted.

        Raises FatalError with the log's last line when that does not happen in `deadline` seconds.
        """
        self._own()
        if not (self.home / "data" / "PG_VERSION").exists():
            self._create()
        until = time.monotonic() + deadline
        while not self._attempt(until):
            # A crashed server's processes need a moment to go, and a port may have been taken meanwhile.
            if time.monotonic() > until:
                raise FatalError("PostgreSQL did not start", "read its log", log=self.log, last=self._last())
            time.sleep(0.05)
        atexit.register(self.close)

    def share(self) -> None:
        """Become one more owner of the server that runs in this directory; start it if none does."""
        self._own()
        with _locked(self.directory / "start.lock"):
            lines = _lock_file(self.home / "data")
            if _ready(lines) and _alive(int(lines[0])):
                self.port = int(lines[3])
            else:
                self.start()

    def release(self) -> None:
        """Give up ownership without stopping; with the last owner the server ends, and what is temporary."""
        atexit.unregister(self.close)
        if self._guard is not None:
            _left_running.append(self._guard)
            self._guard = None
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def stop(self, mode: str = "fast", deadline: float = 30.0) -> None:
        """Stop the server that this instance started (`smart`, `fast` or `immediate`) and wait for its end.

        One that does not stop in time (a consumer that never answers can delay it) is stopped at once.
        """
        if self._guard is None:
            return
        for name, patience in ((_SIGNALS[mode], deadline), ("SIGQUIT", 10.0), ("SIGKILL", 10.0)):
            _send(self.pid, name)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(patience)
                break
        self._guard = None

    def restart(self, mode: str = "fast") -> None:
        """Stop and start on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL the postmaster and wait for it: the crash of a server. `start` recovers."""
        if self._guard is not None:
            _send(self.pid, "SIGKILL")
            self._guard.wait(30)
            self._guard = None

    def close(self) -> None:
        """Stop what this instance started, give up ownership, remove what is temporary. Repeatable."""
        started = self._guard is not None
        self.stop()
        self.release()
        if started and self.temporary:
            for path in self._paths():
                shutil.rmtree(path, ignore_errors=True)

    def create_database(self, name: str) -> str:
        """Create a database and return its dsn."""
        command = [self.program("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name]
        self._run("PostgreSQL did not create a database", command)
        return self.dsn_of(name)

    def _own(self) -> None:
        while self._owner is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.home = binaries.place(self.directory)
            owner = (self.directory / "owners.lock").open("ab")
            _lock(owner, shared=True)
            # A guard that was removing the directory held the lock: what we opened may be gone by now.
            if _same_file(owner, self.directory / "owners.lock"):
                self._owner = owner
            else:
                owner.close()

    def _create(self) -> None:
        for name in ("data", "run"):
            path = self.home / name
            path.mkdir(mode=0o700, exist_ok=True)
            if (user := binaries.identity()) is not None:
                os.chown(path, user.uid, user.gid)
        options = ["-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        command = [self.program("initdb"), "-D", self.home / "data", *options]
        self._run("PostgreSQL did not create its data directory", command)

    def _attempt(self, until: float) -> bool:
        """Start a server once; False when it ended instead of becoming ready."""
        self.port = _free_port(self.port)
        self._configure()
        order = {
            "command": [str(self.program("postgres")), "-D", str(self.home / "data")],
            "log": str(self.log),
            "identity": _as_user(),
            "owners": str(self.directory / "owners.lock"),
            "temporary": [str(path) for path in self._paths()] if self.temporary else [],
        }
        command = [sys.executable, guard.__file__, json.dumps(order)]
        self._guard = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self._guard.stdout is not None
        with self._guard.stdout as answer:
            pid = answer.readline().strip()
        while time.monotonic() < until:
            lines = _lock_file(self.home / "data")
            if _ready(lines) and lines[0] == pid:
                return True
            if self._guard.poll() is not None:
                break
            time.sleep(0.01)
        else:
            self.stop("immediate")
        self._guard = None
        return False

    def _configure(self) -> None:
        sockets = "" if self.socket_directory is None else str(self.socket_directory)
        own = {"port": str(self.port), "unix_socket_directories": sockets}
        settings = _SETTINGS | own | self.settings
        text = "".join(f"{key} = '{value}'\n" for key, value in settings.items())
        (self.home / "data" / "postgresql.conf").write_text(text)
        methods = (("/^scram_", "scram-sha-256"), ("/^md5_", "md5"), ("all", "trust"))
        places = ("local {} {}", "host {} {} 127.0.0.1/32")
        databases = ("all", "replication")
        lines = [
            f"{where.format(database, user)} {method}"
            for user, method in methods
            for where in places
            for database in databases
        ]
        (self.home / "data" / "pg_hba.conf").write_text("\n".join([*self.hba, *lines, ""]))

    def _run(self, failure: str, command: list[str | Path]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **_as_user())
        if done.returncode != 0:
            raise FatalError(failure, done.stderr.strip(), program=Path(command[0]).name)

    def _paths(self) -> list[Path]:
        return list({self.home, self.directory})

    def _last(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return lines[-1] if lines else ""


def _as_user() -> dict[str, Any]:
    user = binaries.identity()
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}


def _lock(file: BinaryIO, *, shared: bool) -> None:
    """Wait for an advisory lock; Windows has none, there only the owner's exit handler ends a server."""
    with contextlib.suppress(ImportError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        _lock(file, shared=False)
        yield


def _same_file(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _free_port(wanted: int) -> int:
    for port in (wanted, *random.sample(_PORTS, 100)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port:
                probe.bind(("127.0.0.1", port))
                return port
    raise FatalError("no free port for PostgreSQL")


def _lock_file(data: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return (data / "postmaster.pid").read_text().splitlines()
    return []


def _ready(lines: list[str]) -> bool:
    """Read the status line that `pg_ctl -w` waits for as well."""
    return len(lines) >= 8 and lines[7].strip() == "ready"


def _running(data: Path) -> int:
    lines = _lock_file(data)
    return int(lines[0]) if lines and _alive(int(lines[0])) else 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(pid: int, name: str) -> None:
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, name, signal.SIGTERM))
