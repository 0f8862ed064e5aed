"""What this connector keeps for itself, in the schema `_etl` of the same file.

No index and no constraint: only one process can write the file, within it `claim` is called under a lock,
and DuckDB fails the second of two transactions that update one column of one row: that is why a commit
writes the fence it requires.
"""

from __future__ import annotations

import json

from attrs import frozen

from etl_core import Position, StateError, Stream
from etl_duckdb.client import Database
from etl_duckdb.names import fold, located

__all__ = ["Kept", "advance", "claim", "install", "keep", "kept", "position", "require"]

_TABLES = (
    "pipelines (pipeline VARCHAR, fence VARCHAR, position VARCHAR)",
    "tables (table_schema VARCHAR, table_name VARCHAR, seq BLOB, key VARCHAR[], control VARCHAR[])",
)


@frozen
class Kept:
    """What is kept with a table beyond what DuckDB knows of it."""

    seq: bytes | None = None
    key: tuple[str, ...] = ()
    control: tuple[str, ...] = ()


def install(db: Database) -> None:
    """Create the control tables that are missing."""
    db.run(f"CREATE SCHEMA IF NOT EXISTS {db.control}")
    for table in _TABLES:
        db.run(f"CREATE TABLE IF NOT EXISTS {db.control}.{table}")


def claim(db: Database, pipeline: str, fence: str) -> None:
    """Make `fence` the one that commits of `pipeline` require."""
    if not db.run(f"UPDATE {db.control}.pipelines SET fence = ? WHERE pipeline = ?", [fence, pipeline]):
        db.run(f"INSERT INTO {db.control}.pipelines VALUES (?, ?, NULL)", [pipeline, fence])


def advance(db: Database, pipeline: str, fence: str, position: Position | None) -> None:
    """Put the position into the open transaction. Raises StateError when the fence is another's."""
    changed = db.run(
        f"UPDATE {db.control}.pipelines SET position = ?, fence = ? WHERE pipeline = ? AND fence = ?",
        [position and json.dumps(position.to_json()), fence, pipeline, fence],
    )
    if changed != 1:
        raise _displaced(pipeline)


def require(db: Database, pipeline: str, fence: str) -> None:
    """Raise StateError when the fence is another's."""
    rows = db.rows(f"SELECT fence FROM {db.control}.pipelines WHERE pipeline = ?", [pipeline])
    if rows != [(fence,)]:
        raise _displaced(pipeline)


def _displaced(pipeline: str) -> StateError:
    return StateError(
        "another copy of the pipeline has opened the destination",
        "let one copy run; give pipelines that share a file different names",
        pipeline=pipeline,
    )


def position(db: Database, pipeline: str) -> Position | None:
    """Return the stored position."""
    rows = db.rows(f"SELECT position FROM {db.control}.pipelines WHERE pipeline = ?", [pipeline])
    return Position.from_json(json.loads(rows[0][0])) if rows and rows[0][0] else None


def kept(db: Database, stream: Stream) -> Kept:
    """Return what is kept with a table; nothing for a table this connector did not make."""
    return db.recall(stream, lambda: _kept(db, stream))


def _kept(db: Database, stream: Stream) -> Kept:
    rows = db.rows(
        f"SELECT seq, key, control FROM {db.control}.tables WHERE table_schema = ? AND table_name = ?",
        _identity(stream),
    )
    return Kept(rows[0][0], tuple(rows[0][1]), tuple(rows[0][2])) if rows else Kept()


def keep(db: Database, stream: Stream, value: Kept) -> None:
    """Replace what is kept with a table."""
    identity = _identity(stream)
    db.run(f"DELETE FROM {db.control}.tables WHERE table_schema = ? AND table_name = ?", identity)
    row = [*identity, value.seq, list(value.key), list(value.control)]
    db.run(f"INSERT INTO {db.control}.tables VALUES (?, ?, ?, ?, ?)", row)
    db.forget()


def _identity(stream: Stream) -> list[str]:
    return [fold(part) for part in located(stream)]
