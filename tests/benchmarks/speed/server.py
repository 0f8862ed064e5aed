"""A PostgreSQL server for one benchmark, on 127.0.0.1, without TLS and without fsync."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from etl_core import ConfigError, FatalError, Secret
from etl_pglib.client import Connection, connect
from etl_pglib.embedded import EmbeddedPostgres

__all__ = ["SETTINGS", "Database", "Server", "running"]

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "64GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
_PATIENCE = 30.0


@frozen
class Database:
    """A database of the server, and the programs that go with it."""

    dsn: str
    server: EmbeddedPostgres

    def connect(self) -> Connection:
        """Open a connection in autocommit, with the server's own settings."""
        return connect(Secret(self.dsn), application_name="benchmark", session={})

    def execute(self, *statements: str) -> None:
        """Run statements, each in its own transaction."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self.connect() as connection:
            return connection.execute(statement.encode()).fetchall()

    def program(self, name: str) -> str:
        """Return the path of a program of PostgreSQL: the server's, else one of the system."""
        own = self.server.program(name)
        system = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        found = own if own.exists() else shutil.which(name) or (system[-1] if system else None)
        if found is None:
            raise ConfigError("a program of PostgreSQL is missing", "install its client", program=name)
        return str(found)

    @contextmanager
    def slot(self, base: str) -> Iterator[str]:
        """Lend a copy of a slot: every run starts from the same place."""
        name = f"run_{time.monotonic_ns()}"
        self.query(f"SELECT pg_copy_logical_replication_slot('{base}', '{name}')")
        try:
            yield name
        finally:
            self._drop_slot(name)

    def _drop_slot(self, name: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        active = f"SELECT active FROM pg_replication_slots WHERE slot_name = '{name}'"
        while self.query(active)[0][0]:
            if time.monotonic() > deadline:
                raise FatalError("a slot stayed in use after its reader had ended", slot=name)
            time.sleep(0.01)
        self.query(f"SELECT pg_drop_replication_slot('{name}')")


@frozen
class Server:
    """The running server."""

    embedded: EmbeddedPostgres
    #: For everything else that a benchmark leaves: removed with the server.
    scratch: Path

    @contextmanager
    def database(self, name: str) -> Iterator[Database]:
        """Lend a new database; afterwards it is gone with its slots."""
        database = Database(self.embedded.create_database(name), self.embedded)
        try:
            yield database
        finally:
            admin = Database(self.embedded.dsn, self.embedded)
            mine = f"FROM pg_replication_slots WHERE database = '{name}'"
            admin.query(f"SELECT pg_terminate_backend(active_pid, 10000) {mine} AND active")
            admin.query(f"SELECT pg_drop_replication_slot(slot_name) {mine}")
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)", "CHECKPOINT")


@contextmanager
def running(version: int) -> Iterator[Server]:
    """Start a server in a temporary directory; remove both at the end."""
    with tempfile.TemporaryDirectory(prefix="etl-bench-") as directory:
        scratch = Path(directory)
        with EmbeddedPostgres(scratch / "pg", version=version, settings=SETTINGS, temporary=True) as embedded:
            yield Server(embedded, scratch)
