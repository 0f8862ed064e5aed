"""What this connector keeps for itself: pipelines with their fences, streams with their marks.

Every transaction that commits rows begins with `require`: whoever opened last wins, and the rows that this
changes are locked until the end, so that commits of one pipeline wait for each other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pyarrow as pa
from attrs import field, frozen

from etl_core import StateError, Stream, unpack_seq
from etl_snowflake.client import Session
from etl_snowflake.names import Names, landing_name

__all__ = [
    "PIPELINES",
    "STREAMS",
    "Kept",
    "Statement",
    "Window",
    "add",
    "advance",
    "check_epoch",
    "claim",
    "columns",
    "create_schema",
    "find",
    "install",
    "load",
    "merged",
    "progress",
    "ready",
    "require",
    "reshape",
    "schema_there",
    "table_there",
    "tables_there",
]

Statement = tuple[str, tuple[Any, ...]]

PIPELINES, STREAMS = "ETL_PIPELINES", "ETL_STREAMS"
_TABLES = {
    PIPELINES: "PIPELINE VARCHAR NOT NULL, FENCE VARCHAR NOT NULL, OPENED_AT TIMESTAMP_LTZ NOT NULL",
    STREAMS: "PIPELINE VARCHAR NOT NULL, STREAM VARCHAR NOT NULL, TARGET_SCHEMA VARCHAR NOT NULL,"
    " TARGET_TABLE VARCHAR NOT NULL, LANDING VARCHAR NOT NULL, KEY VARCHAR, MARK VARCHAR(40),"
    " MERGED VARCHAR(40), READY VARCHAR(40), SCHEMA_SEQ VARCHAR(40), GENERATION NUMBER(19,0),"
    " STAGING VARCHAR, WINDOWS VARCHAR, COLUMNS VARCHAR",
}
_IDENTITY = ("TARGET_SCHEMA", "TARGET_TABLE", "LANDING")
_SHAPE = ("KEY", "SCHEMA_SEQ", "COLUMNS")
_PROGRESS = ("MARK", "MERGED", "READY", "GENERATION", "STAGING", "WINDOWS")
_OF_STREAM = " WHERE PIPELINE = ? AND STREAM = ?"


@frozen
class Window:
    """Landed rows that are merged together: those after the window before, up to and with a seq (hex).

    A `partial` one is a single Write, with rows that build on the rows in the table; it is never split.
    """

    upto: str
    partial: bool


def _texts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _in_order(windows: Iterable[Window]) -> tuple[Window, ...]:
    return tuple(windows)


@frozen
class Kept:
    """A stream's row: where it lands, how far it is, and its columns as they read back.

    Seqs are 40 hex digits, which compare as text; None: nothing yet. `columns` are the target's, those of
    `control` (names as in the source) included. `adding` are columns whose default is not in stored rows yet.
    """

    stream: Stream
    schema: str
    table: str
    landing: str
    key: tuple[str, ...] = field(default=(), converter=_texts)
    columns: pa.Schema = field(factory=lambda: pa.schema([]))
    control: tuple[str, ...] = field(default=(), converter=_texts)
    adding: tuple[str, ...] = field(default=(), converter=_texts)
    seq: str | None = None
    mark: str | None = None
    merged: str | None = None
    ready: str | None = None
    generation: int = 0
    staging: str | None = None
    windows: tuple[Window, ...] = field(default=(), converter=_in_order)

    def target(self, names: Names) -> str:
        """Return the full quoted name of the target."""
        return names.table(self.schema, self.table)


def install(session: Session, names: Names) -> None:
    """Create the landing schema and the control tables. Needs no right to where they are there."""
    if not session.execute(*schema_there(names, names.landing_schema)):
        session.execute(create_schema(names, names.landing_schema))
    there = {row[0] for row in session.execute(*tables_there(names))}
    for name in sorted(_TABLES.keys() - there):
        session.execute(create_control(names, name))


def schema_there(names: Names, schema: str) -> Statement:
    """Say whether a schema is there."""
    view = names.table("INFORMATION_SCHEMA", "SCHEMATA")
    return f"SELECT SCHEMA_NAME FROM {view} WHERE SCHEMA_NAME = ?", (schema,)


def tables_there(names: Names) -> Statement:
    """Name the tables of the landing schema."""
    view = names.table("INFORMATION_SCHEMA", "TABLES")
    return f"SELECT TABLE_NAME FROM {view} WHERE TABLE_SCHEMA = ?", (names.landing_schema,)


def table_there(names: Names, name: str) -> Statement:
    """Say whether a table of the landing schema is there."""
    sql, binds = tables_there(names)
    return f"{sql} AND TABLE_NAME = ?", (*binds, name)


def create_schema(names: Names, schema: str) -> str:
    """Create a schema."""
    return f"CREATE SCHEMA IF NOT EXISTS {names.schema(schema)}"


def create_control(names: Names, name: str) -> str:
    """Create one of the control tables."""
    return f"CREATE TABLE IF NOT EXISTS {names.ours(name)} ({_TABLES[name]})"


def claim(session: Session, names: Names, pipeline: str, fence: str) -> None:
    """Make `fence` the one that commits of `pipeline` require."""
    session.execute(*claiming(names, pipeline, fence))


def claiming(names: Names, pipeline: str, fence: str) -> Statement:
    """Put the fence in its place."""
    sql = (
        f"MERGE INTO {names.ours(PIPELINES)} AS t USING (SELECT ? AS PIPELINE, ? AS FENCE) AS s"
        " ON t.PIPELINE = s.PIPELINE"
        " WHEN MATCHED THEN UPDATE SET FENCE = s.FENCE, OPENED_AT = CURRENT_TIMESTAMP()"
        " WHEN NOT MATCHED THEN INSERT (PIPELINE, FENCE, OPENED_AT)"
        " VALUES (s.PIPELINE, s.FENCE, CURRENT_TIMESTAMP())"
    )
    return sql, (pipeline, fence)


def require(session: Session, names: Names, pipeline: str, fence: str) -> None:
    """Begin a transaction that commits rows. Raises StateError when the fence is another's."""
    if session.changed(*requiring(names, pipeline, fence)) != 1:
        raise StateError(
            "another copy of the pipeline has opened the destination",
            "let one copy run; give pipelines that share a landing schema different names",
            pipeline=pipeline,
        )


def requiring(names: Names, pipeline: str, fence: str) -> Statement:
    """Touch the fence, if it is ours."""
    sql = f"UPDATE {names.ours(PIPELINES)} SET FENCE = FENCE WHERE PIPELINE = ? AND FENCE = ?"
    return sql, (pipeline, fence)


def load(session: Session, names: Names, pipeline: str) -> dict[Stream, Kept]:
    """Return what is kept with each stream of a pipeline."""
    rows = session.execute(*loading(names, pipeline))
    return {kept.stream: kept for kept in map(_read, rows)}


def find(session: Session, names: Names, pipeline: str, stream: Stream) -> Kept | None:
    """Return what is kept with a stream."""
    sql, binds = loading(names, pipeline)
    rows = session.execute(f"{sql} AND STREAM = ?", (*binds, str(stream)))
    return _read(rows[0]) if rows else None


def loading(names: Names, pipeline: str) -> Statement:
    """Read the streams of a pipeline."""
    wanted = ", ".join(("STREAM", *_IDENTITY, *_SHAPE, *_PROGRESS))
    return f"SELECT {wanted} FROM {names.ours(STREAMS)} WHERE PIPELINE = ?", (pipeline,)


def add(session: Session, names: Names, pipeline: str, fence: str, stream: Stream) -> Kept:
    """Keep a new stream; its landing table's name is decided here, for good.

    Whoever decides meanwhile waits: all change the same rows first.
    """
    schema, table = names.place(stream)
    with session.transaction():
        require(session, names, pipeline, fence)
        session.execute(f"UPDATE {names.ours(PIPELINES)} SET OPENED_AT = OPENED_AT")
        taken = {row[0] for row in session.execute(f"SELECT LANDING FROM {names.ours(STREAMS)}")}
        taken |= {row[0] for row in session.execute(*tables_there(names))}
        kept = Kept(stream, schema, table, landing_name(pipeline, schema, table, taken))
        session.execute(*adding(names, pipeline, kept))
    return kept


def adding(names: Names, pipeline: str, kept: Kept) -> Statement:
    """Put a stream's row."""
    columns = ("PIPELINE", "STREAM", *_IDENTITY, *_SHAPE, *_PROGRESS)
    values = (
        pipeline,
        str(kept.stream),
        kept.schema,
        kept.table,
        kept.landing,
        *_shape(kept),
        *_progress(kept),
    )
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {names.ours(STREAMS)} ({', '.join(columns)}) VALUES ({marks})", values


def reshape(session: Session, names: Names, pipeline: str, kept: Kept) -> None:
    """Put a stream's key, columns and schema seq into the open transaction."""
    session.execute(*_updating(names, pipeline, kept.stream, _SHAPE, _shape(kept)))


def progress(session: Session, names: Names, pipeline: str, kept: Kept) -> None:
    """Put how far a stream is into the open transaction, whatever was there."""
    session.execute(*_updating(names, pipeline, kept.stream, _PROGRESS, _progress(kept)))


def _updating(
    names: Names, pipeline: str, stream: Stream, columns: Sequence[str], values: tuple[Any, ...]
) -> Statement:
    changes = ", ".join(f"{name} = ?" for name in columns)
    return f"UPDATE {names.ours(STREAMS)} SET {changes}{_OF_STREAM}", (*values, pipeline, str(stream))


def advance(
    session: Session, names: Names, pipeline: str, stream: Stream, mark: str, windows: Sequence[Window]
) -> None:
    """Put a stream's mark, with the windows of what is landed, into the open transaction."""
    session.execute(*advancing(names, pipeline, stream, mark, windows))


def advancing(names: Names, pipeline: str, stream: Stream, mark: str, windows: Sequence[Window]) -> Statement:
    """Raise the mark: never lower it."""
    sql = f"UPDATE {names.ours(STREAMS)} SET MARK = GREATEST(COALESCE(MARK, ''), ?), WINDOWS = ?{_OF_STREAM}"
    return sql, (mark, _windows(windows), pipeline, str(stream))


def merged(
    session: Session, names: Names, pipeline: str, stream: Stream, upto: str, windows: Sequence[Window]
) -> bool:
    """Say in the open transaction how far rows are merged; False when they were so before."""
    return session.changed(*merging(names, pipeline, stream, upto, windows)) == 1


def merging(names: Names, pipeline: str, stream: Stream, upto: str, windows: Sequence[Window]) -> Statement:
    """Raise MERGED, unless it is there already."""
    sql = (
        f"UPDATE {names.ours(STREAMS)} SET MERGED = ?, READY = GREATEST(COALESCE(READY, ''), ?),"
        f" WINDOWS = ?{_OF_STREAM} AND COALESCE(MERGED, '') < ?"
    )
    return sql, (upto, upto, _windows(windows), pipeline, str(stream), upto)


def ready(session: Session, names: Names, pipeline: str, stream: Stream, upto: str) -> None:
    """Let a stream's task merge up to a seq."""
    session.execute(*readying(names, pipeline, stream, upto))


def readying(names: Names, pipeline: str, stream: Stream, upto: str) -> Statement:
    """Raise READY."""
    sql = f"UPDATE {names.ours(STREAMS)} SET READY = GREATEST(COALESCE(READY, ''), ?){_OF_STREAM}"
    return sql, (upto, pipeline, str(stream))


def check_epoch(kept: Kept, epoch: int) -> None:
    """Raise StateError when what is there is of a later epoch than the run."""
    found = unpack_seq(bytes.fromhex(kept.mark))[0] if kept.mark else 0
    if found > epoch:
        raise StateError(
            "the destination holds rows of a later epoch than the run",
            "an older record of the pipeline was restored: reset the pipeline, or restore the newer one",
            stream=str(kept.stream),
            epoch=epoch,
            found=found,
        )


def _shape(kept: Kept) -> tuple[Any, ...]:
    return json.dumps(kept.key), kept.seq, _columns(kept)


def _progress(kept: Kept) -> tuple[Any, ...]:
    windows = _windows(kept.windows)
    return kept.mark, kept.merged, kept.ready, kept.generation, kept.staging, windows


def _windows(windows: Collection[Window]) -> str:
    return json.dumps([[window.upto, window.partial] for window in windows])


def _columns(kept: Kept) -> str:
    schema = base64.b64encode(kept.columns.remove_metadata().serialize()).decode()
    return json.dumps({"schema": schema, "control": kept.control, "adding": kept.adding})


def columns(told: str) -> pa.Schema:
    """Return a target's columns as they are kept in COLUMNS."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(json.loads(told)["schema"])))


def _read(row: tuple[Any, ...]) -> Kept:
    stream, schema, table, landing, key, seq, shape = row[:7]
    mark, merged, ready, generation, staging, windows = row[7:]
    told = json.loads(shape)
    return Kept(
        Stream.parse(stream),
        schema,
        table,
        landing,
        json.loads(key),
        columns(shape),
        told["control"],
        told["adding"],
        seq,
        mark or None,
        merged or None,
        ready or None,
        int(generation),
        staging,
        tuple(Window(upto, partial) for upto, partial in json.loads(windows)),
    )
