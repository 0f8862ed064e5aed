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

from etl_pglib.databases import Database, Servers, drop_database
from etl_pglib.embedded import EmbeddedPostgres

__all__ = ["Database", "drop_database", "pg", "pg_private", "pg_server", "pg_servers", "pg_version"]

_numbers = itertools.count(1)


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


@pytest.fixture
def pg_private(tmp_path: Path, pg_version: int) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """A function that starts a server for this test alone; it takes what EmbeddedPostgres takes."""
    with contextlib.ExitStack() as servers:

        def start(**options: Any) -> EmbeddedPostgres:
            directory = tmp_path / f"pg{next(_numbers)}"
            options = {"version": pg_version, "temporary": True} | options
            return servers.enter_context(EmbeddedPostgres(directory, **options))

        yield start
