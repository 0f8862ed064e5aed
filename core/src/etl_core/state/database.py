"""The SQLite file of the `sqlite` store: opening, layout, transactions, errors."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic, sleep
from typing import Any

from etl_core.errors import StateError
from etl_core.state.locks import FileLock

__all__ = ["Database"]

VERSION = 2
APPLICATION_ID = 0x65746C63  # "etlc"
#: How long `attempt` tries.
ATTEMPT_SECONDS = 1.0

_LAYOUT = """
BEGIN;
CREATE TABLE pipelines (
    name TEXT PRIMARY KEY, fence TEXT UNIQUE, position TEXT, note TEXT
) WITHOUT ROWID;
CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, position TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX history_of ON history (pipeline, id);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, epoch INTEGER NOT NULL,
    namespace TEXT NOT NULL, name TEXT NOT NULL, seq TEXT NOT NULL, stage TEXT NOT NULL,
    code TEXT NOT NULL, column_name TEXT, row BLOB NOT NULL, at REAL NOT NULL,
    UNIQUE (pipeline, epoch, namespace, name, seq, stage)
);
CREATE INDEX dead_letters_of ON dead_letters (pipeline, id);
PRAGMA application_id = {application};
PRAGMA user_version = {version};
COMMIT;
"""

#: From the first version, which had no notes.
_UPGRADE = """
BEGIN IMMEDIATE;
ALTER TABLE pipelines ADD COLUMN note TEXT;
PRAGMA user_version = 2;
COMMIT;
"""


class Database:
    """One connection to the file, opened when first needed, used by one thread at a time.

    Every statement that fails raises StateError; what was committed before stays. `wait` is how many
    seconds another process may keep the file from being written.
    """

    def __init__(self, path: Path, wait: float = 30.0) -> None:
        self.path = path
        self._wait = wait
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._frozen = False

    def exists(self) -> bool:
        with self.translated():
            return self._connection is not None or self.path.exists()

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none when there is no file yet.

        Changes nothing: the layout stays as old as it is, and a file that is read-only will do.
        """
        if not self.version():
            return []
        with self._reading() as connection:
            return connection.execute(statement, values).fetchall()

    def version(self) -> int:
        """Return the version of the layout; 0 when there is none yet."""
        if not self.exists():
            return 0
        with self._reading() as connection:
            return self._version(connection)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self.translated():
            try:
                yield self._open()
            finally:
                if self._frozen:
                    self._drop()

    def attempt(self, statement: str, *values: object) -> int:
        """Run one statement and return how many rows it changed; none once the file is closed.

        No other call waits for it: it holds nothing while it waits, and need not survive a power cut.
        Raises StateError when the file stays busy.
        """
        deadline = monotonic() + ATTEMPT_SECONDS
        while (changed := self._at_once(statement, values)) is None:
            if monotonic() > deadline:
                raise StateError("the state file is busy", path=self.path)
            sleep(0.01)
        return changed

    def _at_once(self, statement: str, values: Sequence[object]) -> int | None:
        """Run one statement, if nobody uses the file just now."""
        if not self._mutex.acquire(blocking=False):
            return None
        try:
            with self.translated():
                return self._changed(self._connection, statement, values) if self._connection else 0
        finally:
            self._mutex.release()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block in one write transaction: committed and synced at its end, or undone."""
        with self._mutex, self.translated():
            connection = self._open()
            self._bring_up_to_date(connection)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._require_same_file()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn errors of SQLite and of the file system into StateError."""
        try:
            yield
        except sqlite3.Error as error:
            raise _state_error(error, self.path) from error
        except OSError as error:
            raise StateError(
                "the state file cannot be used",
                "check that the directory exists, is writable and has room",
                path=self.path,
                cause=error.strerror,
            ) from error

    def rehearse(self) -> None:
        """Write and roll back; where there is no file yet, see that one could be made. Leaves nothing."""
        if self.exists():
            with self._mutex, self.translated():
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                if self._version(connection):
                    connection.execute("INSERT OR REPLACE INTO pipelines (name) VALUES ('')")
                connection.execute("ROLLBACK")
            return
        with self.translated():
            probe = next(parent for parent in self.path.absolute().parents if parent.exists())
            TemporaryFile(dir=probe).close()

    def close(self) -> None:
        with self._mutex:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._frozen = None, False

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._prepared(str(self.path))
            except sqlite3.OperationalError as error:
                if not self._is_frozen(error):
                    raise
                self._connection = self._prepared(f"{self.path.absolute().as_uri()}?immutable=1")
                self._frozen = True
            self._inode = self.path.stat().st_ino
        return self._connection

    def _is_frozen(self, error: sqlite3.OperationalError) -> bool:
        """Whether the file is whole, but SQLite may not put beside it what even readers need."""
        refused = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        return refused and self.path.exists() and not self.path.with_name(self.path.name + "-wal").exists()

    def _prepared(self, name: str) -> sqlite3.Connection:
        """Return a connection to a file of ours, or to an empty one, or one of an older version."""
        connection = sqlite3.connect(
            name,
            timeout=self._wait,
            isolation_level=None,
            check_same_thread=False,
            uri=name.startswith("file:///"),
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            self._require_ours(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_ours(self, connection: sqlite3.Connection) -> None:
        # Another process may create the tables between two looks: of a foreign file the version stays 0.
        if not self._version(connection) and _has_tables(connection) and not self._version(connection):
            raise StateError(
                "the file is a database, but not of etl-core",
                "use another path for the state",
                path=self.path,
            )
        if self._version(connection) > VERSION:
            raise StateError(
                "the state file was written by a newer etl-core",
                "upgrade etl-core, or use another file",
                path=self.path,
                found=self._version(connection),
                known=VERSION,
            )

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        """Create the tables, or those that an older file lacks; another process may do it just now."""
        if self._version(connection) < VERSION:
            with self._alone():
                version = self._version(connection)
                if version == 0:
                    self._create(connection)
                elif version == 1:
                    connection.executescript(_UPGRADE)
            self._require_ours(connection)

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    @staticmethod
    def _create(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_LAYOUT.format(application=APPLICATION_ID, version=VERSION))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep two processes from creating or upgrading the file at the same time."""
        lock = FileLock(self.path.with_name(self.path.name + ".lock"))
        deadline = monotonic() + self._wait
        while not lock.acquire():
            if monotonic() > deadline:
                raise StateError("the state file is being prepared by another process", path=self.path)
            sleep(0.01)
        try:
            yield
        finally:
            lock.release()

    def _changed(
        self, connection: sqlite3.Connection, statement: str, values: Sequence[object]
    ) -> int | None:
        """Run one statement without a wait for another process, or for the disk; None where it would wait."""
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            return connection.execute(statement, values).rowcount
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return None
            raise
        finally:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA busy_timeout = {self._wait * 1000:.0f}")

    def _require_same_file(self) -> None:
        """A file deleted or replaced under a run takes writes that nobody will read: not durable."""
        if not self.path.exists() or self.path.stat().st_ino != self._inode:
            raise StateError(
                "the state file was deleted or replaced while in use",
                "stop every run that uses it before the file is touched; then run again",
                path=self.path,
            )


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


_EXPLAINED = {
    sqlite3.SQLITE_FULL: (
        "the disk is full",
        "make room and run again: it resumes at the last saved position",
    ),
    sqlite3.SQLITE_READONLY: ("the state file is read-only", "make the file and its directory writable"),
    sqlite3.SQLITE_CANTOPEN: ("the state file cannot be opened", "make its directory writable"),
    sqlite3.SQLITE_BUSY: ("the state file is locked by another process", "find what keeps it open"),
    sqlite3.SQLITE_CORRUPT: (
        "the state file is corrupt",
        "move it away: a destination that keeps the position restores it, else restore a backup of the file",
    ),
}
_EXPLAINED[sqlite3.SQLITE_NOTADB] = _EXPLAINED[sqlite3.SQLITE_CORRUPT]


def _state_error(error: sqlite3.Error, path: Path) -> StateError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    message, hint = _EXPLAINED.get(code, ("the state file failed", "see the cause; check disk and file"))
    return StateError(message, hint, path=path, cause=getattr(error, "sqlite_errorname", None) or str(error))
