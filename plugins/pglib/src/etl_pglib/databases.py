"""Databases for tests, on servers that all processes of a test run share. Needs no pytest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from etl_core import Secret
from etl_pglib import binaries
from etl_pglib.client import Connection, connect
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.names import quote_ident

__all__ = ["Database", "Servers", "drop_database"]


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
