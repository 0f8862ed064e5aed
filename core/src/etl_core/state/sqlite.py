"""State in one SQLite file, shared by pipelines and processes of one machine.

The file is in WAL mode and every save is synced. A claim is two things: a lock on a file per pipeline beside
the database, which the operating system frees when the holder dies, and a fence in the database, which every
write requires (where locks do not work, the last to claim wins and the other stops).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sqlite3
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

from etl_core.errors import StateError
from etl_core.interfaces import DeadLetter, Saved, StateStore
from etl_core.model import Position, Stream
from etl_core.state.config import SqliteConfig
from etl_core.state.database import Database
from etl_core.state.locks import FileLock

__all__ = ["SqliteStore"]

#: `holder` takes the lock for a moment; a claim waits that long before it believes that it lost.
_PROBE_SECONDS = 0.5


class SqliteStore(StateStore):
    """See StateStore and the module's text. Creates the file at the first claim."""

    def __init__(self, config: SqliteConfig | None = None) -> None:
        self._config = config or SqliteConfig()
        self._database = Database(Path(self._config.path), self._config.wait)
        self._locks: dict[str, FileLock] = {}

    def check(self) -> None:
        """Creates no file where there is none."""
        self._database.rehearse()

    def claim(self, pipeline: str) -> str:
        lock = self._take_lock(pipeline)
        fence = uuid.uuid4().hex
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO pipelines (name, fence) VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET fence = excluded.fence",
                    (pipeline, fence),
                )
        except BaseException:
            lock.release()
            raise
        self._locks[fence] = lock
        return fence

    def load(self, pipeline: str) -> Position | None:
        for (text,) in self._database.query("SELECT position FROM pipelines WHERE name = ?", pipeline):
            return _position(text) if text is not None else None
        return None

    def save(self, fence: str, position: Position) -> None:
        text = json.dumps(position.to_json(), sort_keys=True)
        with self._database.transaction() as connection:
            pipeline, stored = _claimed(connection, fence)
            if stored != text:
                connection.execute("UPDATE pipelines SET position = ? WHERE name = ?", (text, pipeline))
                self._remember(connection, pipeline, text)

    def _remember(self, connection: sqlite3.Connection, pipeline: str, text: str) -> None:
        connection.execute(
            "INSERT INTO history (pipeline, position, at) VALUES (?, ?, ?)", (pipeline, text, time())
        )
        connection.execute(
            "DELETE FROM history WHERE pipeline = ? AND id <="
            " (SELECT id FROM history WHERE pipeline = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (pipeline, pipeline, self._config.history),
        )

    def history(self, pipeline: str, limit: int = 100) -> Sequence[Saved]:
        rows = self._database.query(
            "SELECT position, at FROM history WHERE pipeline = ? ORDER BY id DESC LIMIT ?", pipeline, limit
        )
        return [Saved(_position(text), at) for text, at in rows]

    def note(self, fence: str, note: Mapping[str, Any]) -> None:
        """Waits for the file for a moment only, and never opens it; whoever saves does not wait for it."""
        if not self._database.attempt(
            "UPDATE pipelines SET note = ? WHERE fence = ?", json.dumps(note), fence
        ):
            raise _lost()

    def noted(self, pipeline: str) -> Mapping[str, Any] | None:
        if self._database.version() < 2:  # the first layout has no notes
            return None
        for (text,) in self._database.query("SELECT note FROM pipelines WHERE name = ?", pipeline):
            note: Mapping[str, Any] | None = None if text is None else json.loads(text)
            return note
        return None

    def release(self, fence: str) -> None:
        lock = self._locks.pop(fence, None)
        # The lock is what keeps others out: a fence that cannot be removed is replaced by the next claim.
        with suppress(StateError), self._database.transaction() as connection:
            connection.execute("UPDATE pipelines SET fence = NULL WHERE fence = ?", (fence,))
        if lock:
            lock.release()

    def clear(self, fence: str) -> None:
        with self._database.transaction() as connection:
            pipeline, _ = _claimed(connection, fence)
            connection.execute(
                "UPDATE pipelines SET position = NULL, note = NULL WHERE name = ?", (pipeline,)
            )
            connection.execute("DELETE FROM history WHERE pipeline = ?", (pipeline,))

    def pipelines(self) -> Sequence[str]:
        return [name for (name,) in self._database.query("SELECT name FROM pipelines ORDER BY name")]

    def holder(self, pipeline: str) -> str | None:
        lock = FileLock(self._lock_path(pipeline))
        with self._database.translated():
            if not lock.path.exists():
                return None
            note = lock.note()
            return note if lock.held() else None

    def add_dead_letters(self, fence: str, letters: Sequence[DeadLetter]) -> None:
        with self._database.transaction() as connection:
            pipeline, _ = _claimed(connection, fence)
            before = connection.total_changes
            connection.executemany(
                "INSERT OR IGNORE INTO dead_letters (pipeline, epoch, namespace, name, seq, stage, code,"
                " column_name, row, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                _rows(pipeline, letters),
            )
            if connection.total_changes > before:
                self._require_room(connection, pipeline)

    def _require_room(self, connection: sqlite3.Connection, pipeline: str) -> None:
        query = "SELECT count(*) FROM dead_letters WHERE pipeline = ?"
        if connection.execute(query, (pipeline,)).fetchone()[0] > self._config.dead_letters:
            raise StateError(
                "there is no room for more dead letters",
                "raise dead_letters of the state store, or use on_error: fail to stop at the first",
                limit=self._config.dead_letters,
            )

    def dead_letters(self, pipeline: str, limit: int = 100) -> Sequence[DeadLetter]:
        rows = self._database.query(
            "SELECT pipeline, epoch, namespace, name, seq, stage, code, column_name, row, at"
            " FROM dead_letters WHERE pipeline = ? ORDER BY id LIMIT ?",
            pipeline,
            limit,
        )
        return [DeadLetter(row[0], row[1], Stream(row[2], row[3]), *row[4:]) for row in rows]

    def close(self) -> None:
        """Release every claim of this object and close the file."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()
        self._database.close()

    def _take_lock(self, pipeline: str) -> FileLock:
        lock = FileLock(self._lock_path(pipeline))
        deadline = monotonic() + _PROBE_SECONDS
        with self._database.translated():
            lock.path.parent.mkdir(parents=True, exist_ok=True)
            while not lock.acquire(_whoami()):
                if monotonic() > deadline:
                    raise StateError(
                        "another run holds this pipeline",
                        "wait for it to end, or stop it: the claim dies with its process",
                        pipeline=pipeline,
                        holder=lock.note(),
                    )
                sleep(0.01)
        return lock

    def _lock_path(self, pipeline: str) -> Path:
        path = self._database.path
        digest = hashlib.sha256(pipeline.encode()).hexdigest()[:16]
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", pipeline)[:40]
        return path.with_name(f"{path.name}.{readable}.{digest}.lock")


def _whoami() -> str:
    return f"pid {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _position(text: str) -> Position:
    try:
        return Position.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError("a stored position cannot be read", "restore a backup of the state file") from error


def _claimed(connection: sqlite3.Connection, fence: str) -> tuple[str, str | None]:
    """Return name and stored position of the pipeline that this fence still claims."""
    row = connection.execute("SELECT name, position FROM pipelines WHERE fence = ?", (fence,)).fetchone()
    if row is None:
        raise _lost()
    return row[0], row[1]


def _lost() -> StateError:
    return StateError("the claim of this run is lost", "another run took over, or this one was released")


def _rows(pipeline: str, letters: Sequence[DeadLetter]) -> Iterable[tuple[object, ...]]:
    for x in letters:
        yield (
            pipeline,
            x.epoch,
            x.stream.namespace,
            x.stream.name,
            x.seq,
            x.stage,
            x.code,
            x.column,
            x.row,
            x.at,
        )
