"""Keeps state in SQLite files: one of records, and one per pipeline whose lock is the claim."""

import json
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from typing import Any

from etl_core import DeadLetter, Position, Saved, StateError, StateStore, Stream

from etl_acme.config import AcmeConfig

LAYOUT = """
CREATE TABLE IF NOT EXISTS pipelines (name TEXT PRIMARY KEY, fence TEXT, holder TEXT);
CREATE TABLE IF NOT EXISTS positions (id INTEGER PRIMARY KEY, pipeline TEXT, position TEXT, at REAL);
CREATE TABLE IF NOT EXISTS letters (
    id INTEGER PRIMARY KEY, pipeline TEXT, epoch INTEGER, stream TEXT, seq TEXT, stage TEXT,
    code TEXT, column_name TEXT, row BLOB, at REAL, UNIQUE (pipeline, epoch, stream, seq, stage)
);
"""
CLAIM = """
INSERT INTO pipelines VALUES (?, ?, ?)
ON CONFLICT (name) DO UPDATE SET fence = excluded.fence, holder = excluded.holder
"""
LATEST = "SELECT position, at FROM positions WHERE pipeline = ? ORDER BY id DESC LIMIT ?"
FORGET = """
DELETE FROM positions WHERE pipeline = ?1 AND id NOT IN (
    SELECT id FROM positions WHERE pipeline = ?1 ORDER BY id DESC LIMIT ?2
)
"""
LETTER = "epoch, stream, seq, stage, code, column_name, row, at"


class AcmeStateStore(StateStore):
    """A claim is SQLite's own lock on a file: the operating system takes it back when its holder dies.

    Every call opens the records and closes them, so that any thread may come and nothing stays open.
    """

    def __init__(self, config: AcmeConfig) -> None:
        self.config = config
        self.records = config.directory / "records.db"
        self.claims: dict[str, sqlite3.Connection] = {}

    def check(self) -> None:
        if self.records.exists():
            with self._transaction() as db:
                db.execute(CLAIM, ("", None, None))
                db.execute("ROLLBACK")
            return
        directory = self.config.directory.absolute()
        there = next(each for each in (directory, *directory.parents) if each.exists())
        with self._translated():
            tempfile.TemporaryFile(dir=there).close()

    def claim(self, pipeline: str) -> str:
        lock = self._lock(pipeline, patience=0.2)
        if lock is None:
            raise StateError(
                "another run holds this pipeline",
                "wait for it to end, or stop it: the claim dies with its process",
                pipeline=pipeline,
                holder=self.holder(pipeline),
            )
        fence = uuid.uuid4().hex
        try:
            with self._transaction() as db:
                db.execute(CLAIM, (pipeline, fence, f"pid {os.getpid()}"))
        except BaseException:
            lock.close()
            raise
        self.claims[fence] = lock
        return fence

    def load(self, pipeline: str) -> Position | None:
        latest = self.history(pipeline, 1)
        return latest[0].position if latest else None

    def save(self, fence: str, position: Position) -> None:
        text = json.dumps(position.to_json(), sort_keys=True)
        with self._transaction() as db:
            pipeline = _claimed(db, fence)
            if [text] == [row[0] for row in db.execute(LATEST, (pipeline, 1))]:
                return
            values = (pipeline, text, time.time())
            db.execute("INSERT INTO positions (pipeline, position, at) VALUES (?, ?, ?)", values)
            db.execute(FORGET, (pipeline, self.config.history))

    def history(self, pipeline: str, limit: int = 100) -> Sequence[Saved]:
        rows = self._query(LATEST, pipeline, limit)
        return [Saved(Position.from_json(json.loads(text)), at) for text, at in rows]

    def release(self, fence: str) -> None:
        if fence in self.claims:
            with self._transaction() as db:
                db.execute("UPDATE pipelines SET fence = NULL WHERE fence = ?", (fence,))
            self.claims.pop(fence).close()

    def clear(self, fence: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM positions WHERE pipeline = ?", (_claimed(db, fence),))

    def pipelines(self) -> Sequence[str]:
        return [name for (name,) in self._query("SELECT name FROM pipelines ORDER BY name")]

    def holder(self, pipeline: str) -> str | None:
        found = self._query("SELECT holder FROM pipelines WHERE name = ? AND fence IS NOT NULL", pipeline)
        if not found:
            return None
        if (lock := self._lock(pipeline)) is not None:  # nobody's: whoever had it is dead
            lock.close()
            return None
        return str(found[0][0])

    def add_dead_letters(self, fence: str, letters: Sequence[DeadLetter]) -> None:
        with self._transaction() as db:
            pipeline = _claimed(db, fence)
            db.executemany(
                f"INSERT OR IGNORE INTO letters (pipeline, {LETTER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(pipeline, *_row(letter)) for letter in letters],
            )
            count = db.execute("SELECT count(*) FROM letters WHERE pipeline = ?", (pipeline,)).fetchone()
            if count[0] > self.config.dead_letters:
                raise StateError(
                    "there is no room for more dead letters",
                    "raise dead_letters of the state store, or use on_error: fail to stop at the first",
                    limit=self.config.dead_letters,
                )

    def dead_letters(self, pipeline: str, limit: int = 100) -> Sequence[DeadLetter]:
        query = f"SELECT {LETTER} FROM letters WHERE pipeline = ? ORDER BY id LIMIT ?"
        return [
            DeadLetter(pipeline, epoch, Stream.parse(stream), *others)
            for epoch, stream, *others in self._query(query, pipeline, limit)
        ]

    def close(self) -> None:
        for fence in list(self.claims):
            self.release(fence)

    def _lock(self, pipeline: str, patience: float = 0.0) -> sqlite3.Connection | None:
        """Lock the file of a pipeline's claim; None when somebody else has."""
        name = f"{sha256(pipeline.encode()).hexdigest()[:32]}.claim"
        with self._translated():
            self.config.directory.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(
                self.config.directory / name, patience, isolation_level=None, check_same_thread=False
            )
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                lock.close()
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                    return None
                raise
        return lock

    def _query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        if not self.records.exists():
            return []
        with self._transaction() as db:
            return db.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block did, synced to the disk, or undo it when it raised."""
        with self._translated():
            self.config.directory.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.records, 30.0, isolation_level=None)) as db:
                db.executescript(LAYOUT)
                db.execute("BEGIN IMMEDIATE")
                yield db
                if db.in_transaction:
                    db.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                "the state cannot be read or written",
                "check that the directory is writable and has room",
                directory=self.config.directory,
                cause=type(error).__name__,
            ) from error


def _claimed(db: sqlite3.Connection, fence: str) -> str:
    """Return the pipeline that this fence still claims."""
    for (name,) in db.execute("SELECT name FROM pipelines WHERE fence = ?", (fence,)):
        return str(name)
    raise StateError("the claim of this run is lost", "another run took over, or this one was released")


def _row(x: DeadLetter) -> tuple[object, ...]:
    return (x.epoch, str(x.stream), x.seq, x.stage, x.code, x.column, x.row, x.at)
