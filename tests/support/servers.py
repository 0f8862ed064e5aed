"""Servers of a test module's own: started once, a database per test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from etl_pglib import binaries
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database, drop_database

__all__ = ["database", "installed", "installed_server", "own_server", "standby_of"]

_numbers = itertools.count(1)


@contextmanager
def own_server(directory: Path, settings: Mapping[str, str], version: int = 16) -> Iterator[EmbeddedPostgres]:
    """Run a server with these settings."""
    with EmbeddedPostgres(directory, version=version, settings=settings, temporary=True) as server:
        yield server


def installed(version: int) -> Path | None:
    """Return where the programs of an installed PostgreSQL are, if that version is installed."""
    places = [Path(f"/usr/lib/postgresql/{version}/bin"), Path(f"/usr/pgsql-{version}/bin")]
    return next((place for place in places if (place / "initdb").exists()), None)


@contextmanager
def installed_server(directory: Path, version: int, programs: Path) -> Iterator[EmbeddedPostgres]:
    """Run a server of an installed PostgreSQL."""
    embedded = binaries.find
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binaries, "find", lambda wanted: programs if wanted == version else embedded(wanted))
        with own_server(directory, {}, version) as server:
            yield server


@contextmanager
def standby_of(primary: EmbeddedPostgres, directory: Path) -> Iterator[EmbeddedPostgres]:
    """Run a standby that follows a server, made by `pg_basebackup`; it tells the primary what it reads."""
    settings = {**primary.settings, "hot_standby_feedback": "on"}
    standby = EmbeddedPostgres(directory, version=primary.version, settings=settings, temporary=True)
    standby._own()
    data = standby.home / "data"
    data.mkdir(mode=0o700, parents=True)
    (standby.home / "run").mkdir(mode=0o700, exist_ok=True)
    if (user := binaries.identity()) is not None:
        for path in (data, standby.home / "run"):
            os.chown(path, user.uid, user.gid)
    where = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
    program = primary.program("pg_basebackup")
    command: list[str | Path] = [program, "-D", data, "-R", "-X", "stream", "-c", "fast", *where]
    standby._run("the standby was not made", command)
    with standby:
        yield standby


@contextmanager
def database(server: EmbeddedPostgres) -> Iterator[Database]:
    """Make a database; it is dropped afterwards with its slots."""
    name = f"own_{next(_numbers)}"
    yield Database(name, server.create_database(name), server)
    drop_database(server, name)
