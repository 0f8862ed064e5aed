"""The one store: a DuckDB database that SQL, COPY and streaming channels all write to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from etl_snowflake.emulator.catalog import Catalog, schema_place
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.errors import locked
from etl_snowflake.emulator.names import duck
from etl_snowflake.emulator.sql.functions import MACROS

_T = TypeVar("_T")
_PATIENCE = 60.0


class Store:
    """Cursors over one database, its catalogue, and the lock of those who change rows.

    Appends never wait; UPDATE, DELETE, MERGE and DDL do, for each other, as with Snowflake's table locks.
    """

    def __init__(self, path: Path | None) -> None:
        self.catalog = Catalog()
        self.meta = threading.RLock()
        connection = duckdb.connect(str(path or ":memory:"), config={"threads": 2})
        self._connection = connection
        self._kept = path is not None
        self._root = Cursor(connection)
        self._condition = threading.Condition()
        self._holder: object | None = None
        self.relieve: Callable[[object], None] = lambda holder: None
        self._prepare()

    def _prepare(self) -> None:
        self._root.execute("CREATE SCHEMA IF NOT EXISTS emulator")
        self._root.execute("CREATE TABLE IF NOT EXISTS emulator.saved (key VARCHAR, value BLOB)")
        for macro in MACROS:
            self._root.execute(f"CREATE OR REPLACE MACRO {macro}")
        saved = self.recall("catalog")
        if saved is not None:
            self.catalog.load(saved)

    def cursor(self) -> Cursor:
        """Give a connection of its own, to be used by one thread at a time."""
        return Cursor(self._connection.cursor())

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def recall(self, name: str) -> bytes | None:
        """Give what was remembered under a name."""
        rows = self._root.execute("SELECT value FROM emulator.saved WHERE key = ?", [name])
        return bytes(rows[0][0]) if rows else None

    def recall_all(self, prefix: str) -> list[bytes]:
        """Give what was remembered under names that begin with a text."""
        rows = self._root.execute("SELECT value FROM emulator.saved WHERE starts_with(key, ?)", [prefix])
        return [bytes(row[0]) for row in rows]

    def remember(self, name: str, value: bytes | None) -> None:
        """Keep some bytes across a restart; None forgets them."""

        def write() -> None:
            with self.cursor() as cursor:
                cursor.execute("BEGIN")
                remember(cursor, name, value)
                cursor.execute("COMMIT")

        with self.meta:
            patient(write)

    def save(self) -> None:
        """Keep the catalogue across a restart, where rows are kept at all."""
        if self._kept:
            self.remember("catalog", self.catalog.save())

    def ensure_schema(self, database: str, schema: str) -> None:
        """Make a schema, and its database, where it is absent."""
        schemas = self.catalog.databases.setdefault(database, {})
        if schema not in schemas:
            self.catalog.create_schema(database, schema)
        with self.cursor() as cursor:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {duck(schema_place(database, schema))}")

    def drop_schema(self, database: str, schema: str) -> None:
        """Drop a schema with all that is in it."""
        with self.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {duck(schema_place(database, schema))} CASCADE")
        del self.catalog.schemas(database)[schema]

    @contextmanager
    def changing(self, holder: object) -> Iterator[None]:
        """Hold the lock for one statement; within a transaction that holds it already, do nothing."""
        mine = self._holder is holder
        if not mine:
            self.lock(holder)
        try:
            yield
        finally:
            if not mine:
                self.unlock(holder)

    def lock(self, holder: object) -> None:
        """Take the lock, or fail as a statement that waited for too long."""
        with self._condition:
            if self._holder is holder:
                return
            deadline = time.monotonic() + _patience(holder)
            while self._holder is not None:
                if time.monotonic() > deadline:
                    raise locked()
                self._wait()
            self._holder = holder

    def _wait(self) -> None:
        """Wait a little for the lock, and have its holder looked at."""
        if not self._condition.wait(0.5) and self._holder is not None:
            holder = self._holder
            self._condition.release()
            try:
                self.relieve(holder)
            finally:
                self._condition.acquire()

    def unlock(self, holder: object) -> None:
        """Give the lock back, if it is held."""
        with self._condition:
            if self._holder is holder:
                self._holder = None
                self._condition.notify_all()


def _patience(holder: object) -> float:
    """Return for how long a session waits for a lock (seconds)."""
    asked = getattr(holder, "parameters", {}).get("LOCK_TIMEOUT")
    return _PATIENCE if asked is None else min(_PATIENCE, float(asked))


def remember(cursor: Cursor, name: str, value: bytes | None) -> None:
    """Keep some bytes across a restart, within a transaction."""
    cursor.execute("DELETE FROM emulator.saved WHERE key = ?", [name])
    if value is not None:
        cursor.execute("INSERT INTO emulator.saved VALUES (?, ?)", [name, value])


def patient(work: Callable[[], _T], seconds: float = 20.0) -> _T:
    """Repeat work that DuckDB refuses because of another transaction, for which Snowflake would wait."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except duckdb.TransactionException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
