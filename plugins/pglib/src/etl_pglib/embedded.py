"""A private PostgreSQL server from a wheel, for demonstrations and tests.

It needs no installation, no fixed port and no particular user, and it never outlives its owners.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TextIO, cast

from etl_core.errors import FatalError
from etl_pglib import binaries, guard, processes

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
_HBA = """
local all,replication /^scram_ scram-sha-256
local all,replication /^md5_ md5
local all,replication all trust
host all,replication /^scram_ 127.0.0.1/32 scram-sha-256
host all,replication /^md5_ 127.0.0.1/32 md5
host all,replication all 127.0.0.1/32 trust
"""
#: A crashed server's processes need a moment to go, and a port may be taken between looking and using it.
_PASSING = re.compile("in use|still running|already exists")
_SIGNALS = {"smart": "SIGTERM", "fast": "SIGINT", "immediate": "SIGQUIT"}
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
        self._pid = 0
        self._owner: BinaryIO | None = None
        self._guard: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
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

    def program(self, name: str) -> Path:
        """The path of a PostgreSQL program of this version (`psql`, `pg_dump`, ...)."""
        return binaries.find(self.version) / name

    def start(self, deadline: float = 45.0) -> None:
        """Create the data directory if there is none, start, return when connections are accepted.

        Raises FatalError with the log's last lines when it ends or is not ready in `deadline` seconds.
        """
        self._own()
        self._lasting.unlink(missing_ok=True)
        atexit.register(self.close)
        if not (self.home / "data").exists():
            self._create()
        until = time.monotonic() + deadline
        while not self._attempt(until):
            if time.monotonic() > until or not _PASSING.search("".join(self._tail())):
                raise FatalError("PostgreSQL did not start", "read its log", log=self.log, last=self._tail())
            time.sleep(0.05)

    def share(self) -> None:
        """Become one more owner of the server that runs in this directory; start it if none does."""
        self._own()
        with processes.locked(self.directory / "start.lock"):
            if not self.join():
                self.start()

    def join(self) -> bool:
        """Become one more owner of the server that runs in this directory; False if none does."""
        self._own()
        server = processes.Postmaster.ready(self.home / "data")
        if server is None or not server.answers():
            return False
        self.port, self._pid = server.port, server.pid
        return True

    def leave(self) -> None:
        """Give up ownership and let the server run without owners, until somebody shares and stops it."""
        self._lasting.touch()
        self.release()

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
        """Stop the server (`smart`, `fast` or `immediate`), whoever started it, and wait for its end.

        One that does not stop in time (a consumer that never answers can delay it) is stopped at once.
        """
        for name, patience in ((_SIGNALS[mode], deadline), ("SIGQUIT", 10.0), ("SIGKILL", 10.0)):
            processes.send(self._pid, name)
            if processes.ended(self._pid, patience):
                break
        self._ended()

    def restart(self, mode: str = "fast") -> None:
        """Stop and start on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """SIGKILL the postmaster and wait for it: the crash of a server. `start` recovers."""
        processes.send(self._pid, "SIGKILL")
        processes.ended(self._pid, 10.0)
        self._ended()

    def close(self) -> None:
        """Stop what this instance started, give up ownership, remove what is temporary. Repeatable."""
        if self._guard is not None:
            self.stop()
        if self.temporary and self._owner is not None and processes.alone(self._owner):
            guard.remove(self.home, self._owners)
        self.release()

    def _ended(self) -> None:
        self._pid = 0
        if self._guard is not None:
            self._guard.wait()
            self._guard = None

    def create_database(self, name: str) -> str:
        """Create a database and return its dsn."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        self._run("PostgreSQL did not create a database", [self.program("createdb"), *where, name])
        return self.dsn_of(name)

    def _own(self) -> None:
        while self._owner is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.home = binaries.place(self.directory)
            owner = self._owners.open("ab")
            processes.lock(owner, shared=True)
            # A guard that was removing the directory held the lock: what we opened may be gone by now.
            if processes.same_file(owner, self._owners):
                self._owner = owner
            else:
                owner.close()

    def _create(self) -> None:
        unfinished = self.home / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        for path in (unfinished, self.home / "run"):
            path.mkdir(mode=0o700, exist_ok=True)
            if (user := binaries.identity()) is not None:
                os.chown(path, user.uid, user.gid)
        options = ["-U", "postgres", "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        command = [str(self.program("initdb")), "-D", str(unfinished), *options]
        self._run("PostgreSQL did not create its data directory", command)
        unfinished.rename(self.home / "data")

    def _attempt(self, until: float) -> bool:
        """Start a server once; False when it ended instead of becoming ready."""
        self.port = processes.free_port(self.port)
        self._configure()
        order = {
            "command": [str(self.program("postgres")), "-D", str(self.home / "data")],
            "log": str(self.log),
            "identity": _as_user(),
            "home": str(self.home),
            "owners": str(self._owners),
            "temporary": self.temporary,
        }
        # -P: the script's directory, with modules named like those of the standard library, is no path.
        command = [sys.executable, "-P", guard.__file__, json.dumps(order)]
        self._pid = 0
        # No pipe or terminal of ours may stay open in a process that may outlive us.
        with self.log.open("ab") as log:
            self._guard = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        with cast("TextIO", self._guard.stdout) as answer:
            self._pid = int(answer.readline() or 0)
        while time.monotonic() < until:
            server = processes.Postmaster.ready(self.home / "data")
            if server is not None and server.pid == self._pid:
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
        (self.home / "data" / "pg_hba.conf").write_text("\n".join([*self.hba, _HBA]))

    def _run(self, failure: str, command: Sequence[str | Path]) -> None:
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", **_as_user())
        if done.returncode != 0:
            raise FatalError(failure, done.stderr.strip(), program=Path(command[0]).name)

    @property
    def _lasting(self) -> Path:
        return self.directory / guard.LASTING

    @property
    def _owners(self) -> Path:
        return self.directory / "owners.lock"

    def _tail(self) -> list[str]:
        """Return the log's last lines."""
        return self.log.read_text(errors="replace").splitlines()[-5:] if self.log.exists() else []


def _as_user() -> dict[str, Any]:
    user = binaries.identity()
    return {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
