"""Fixtures for tests that need a real PostgreSQL: ``pytest_plugins = ["etl_pglib.testing"]``.

- `pg`: a fresh database on a shared server, dropped afterwards with its slots and connections.
- `pg_version`: 16; override or parametrise it (``@pytest.mark.parametrize("pg_version", [16, 18])``).
- `pg_server`: the shared server itself; do not stop it, other tests (and workers) use it.
- `pg_private`: makes servers of one's own, to stop, kill or configure.

All xdist workers of a session share one server per version; it ends with the last of them, however they end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

from etl_core import Secret
from etl_pglib import binaries
from etl_pglib.client import Connection, connect
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.names import quote_ident

__all__ = ["Database", "pg", "pg_private", "pg_server", "pg_servers", "pg_version"]

_numbers = itertools.count(1)


@frozen
class Database:
    """A database for one test."""

    name: str
    dsn: str
    server: EmbeddedPostgres

    def connect(self, *, autocommit: bool = True) -> Connection:
        """Open another connection of the superuser, with the server's own settings; the caller closes it."""
        return _connect(self.dsn, autocommit=autocommit)

    def execute(self, *statements: str) -> None:
        """Run statements, each in its own transaction; one string may hold several in one transaction."""
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self.connect() as connection:
            return connection.execute(statement.encode()).fetchall()


@define
class Servers:
    """The shared servers of this session, one per version, started when first asked for."""

    _running: dict[int, EmbeddedPostgres] = field(factory=dict)

    def get(self, version: int) -> EmbeddedPostgres:
        """Return the running server of this version, started by whichever worker comes first."""
        if version not in self._running:
            server = EmbeddedPostgres(_directory(version), version=version, temporary=True)
            server.share()
            self._running[version] = server
        return self._running[version]

    def release(self) -> None:
        """Give the servers up; the last worker's release ends them."""
        for server in self._running.values():
            server.release()


def _directory(version: int) -> Path:
    """Return one place for all workers of a run; its name is the run's."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    return binaries.private(f"etl-pg-tests-{run}-{version}")


@pytest.fixture(scope="session")
def pg_servers() -> Iterator[Servers]:
    """The shared servers of this session by version."""
    servers = Servers()
    yield servers
    servers.release()


@pytest.fixture
def pg_version() -> int:
    """The server's major version: 16 unless a test says otherwise."""
    return 16


@pytest.fixture
def pg_server(pg_servers: Servers, pg_version: int) -> EmbeddedPostgres:
    """The shared server of `pg_version`."""
    return pg_servers.get(pg_version)


@pytest.fixture
def pg(pg_server: EmbeddedPostgres) -> Iterator[Database]:
    """A fresh database; its slots, connections and itself are gone after the test."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    yield Database(name, pg_server.create_database(name), pg_server)
    drop_database(pg_server, name)


def drop_database(server: EmbeddedPostgres, name: str) -> None:
    """End the database's slots and connections, then drop it."""
    with _connect(server.dsn) as admin:
        slots = admin.execute(
            "select slot_name, active_pid, temporary from pg_replication_slots where database = %s",
            [name],
        ).fetchall()
        for slot, pid, temporary in slots:
            if pid:
                admin.execute("select pg_terminate_backend(%s, 10000)", [pid])
            if not temporary:  # the others went with their connection
                admin.execute("select pg_drop_replication_slot(%s)", [slot])
        admin.execute(f"drop database {quote_ident(name)} with (force)".encode())


def _connect(dsn: str, *, autocommit: bool = True) -> Connection:
    return connect(Secret(dsn), application_name="etl-tests", autocommit=autocommit, session={})


@pytest.fixture
def pg_private(tmp_path: Path, pg_version: int) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """A function that starts a server for this test alone; it takes what EmbeddedPostgres takes."""
    with contextlib.ExitStack() as servers:

        def start(**options: Any) -> EmbeddedPostgres:
            directory = tmp_path / f"pg{next(_numbers)}"
            options = {"version": pg_version, "temporary": True} | options
            return servers.enter_context(EmbeddedPostgres(directory, **options))

        yield start
