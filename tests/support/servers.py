"""Servers of a test module's own: started once, a database per test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database, drop_database

__all__ = ["database", "own_server"]

_numbers = itertools.count(1)


@contextmanager
def own_server(directory: Path, settings: Mapping[str, str], version: int = 16) -> Iterator[EmbeddedPostgres]:
    """Run a server with these settings."""
    with EmbeddedPostgres(directory, version=version, settings=settings, temporary=True) as server:
        yield server


@contextmanager
def database(server: EmbeddedPostgres) -> Iterator[Database]:
    """Make a database; it is dropped afterwards with its slots."""
    name = f"own_{next(_numbers)}"
    yield Database(name, server.create_database(name), server)
    drop_database(server, name)
