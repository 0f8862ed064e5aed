"""A stream's row in the control table: where it lands, how far it is, and its columns."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from attrs import field, frozen

from etl_core import Position, Stream
from etl_snowflake.names import Names

__all__ = [
    "IDENTITY",
    "PROGRESS",
    "SHAPE",
    "Kept",
    "Window",
    "columns",
    "order",
    "progress",
    "read",
    "shape",
    "windows_text",
    "written",
]

#: The columns of a row: what never changes, what schema changes change, what rows change.
IDENTITY = ("TARGET_SCHEMA", "TARGET_TABLE", "LANDING")
SHAPE = ("KEY", "SCHEMA_SEQ", "COLUMNS")
PROGRESS = ("MARK", "MERGED", "READY", "GENERATION", "STAGING", "WINDOWS", "ERRORS", "STREAMED", "ENDED")


@frozen
class Window:
    """Landed rows that are merged together: those after the window before, up to and with a seq (hex).

    A `partial` one is a single Write, with rows that build on the rows in the table; it is never split.
    """

    upto: str
    partial: bool


def order(position: Position) -> str:
    """Return a position as text that compares as positions do."""
    return f"{position.epoch:010d}-{position.n:020d}"


def _texts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(names)


def _in_order(windows: Iterable[Window]) -> tuple[Window, ...]:
    return tuple(windows)


@frozen
class Kept:
    """A stream's row: where it lands, how far it is, and its columns as they read back.

    Seqs are 40 hex digits, which compare as text; None: nothing yet. `columns` are the target's, those of
    `control` (names as in the source) included. `adding` are columns whose default is not in stored rows yet.
    `errors`: so many rows that the generation's channel refused were found. `streamed`: the last generation
    whose channel was opened. `ended`: the first position after the end of a history's snapshot, see `order`.
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
    errors: int = 0
    streamed: int | None = None
    ended: str | None = None

    def target(self, names: Names) -> str:
        """Return the full quoted name of the target."""
        return names.table(self.schema, self.table)


def shape(kept: Kept) -> tuple[Any, ...]:
    """Return the values of SHAPE."""
    return json.dumps(kept.key), kept.seq, _columns(kept)


def written(kept: Kept) -> str:
    """Return the key and the columns of a stream as they are written, one after the other."""
    key, _, columns = shape(kept)
    return f"{key}{columns}"


def progress(kept: Kept) -> tuple[Any, ...]:
    """Return the values of PROGRESS."""
    windows = windows_text(kept.windows)
    seqs = kept.mark, kept.merged, kept.ready
    return *seqs, kept.generation, kept.staging, windows, kept.errors, kept.streamed, kept.ended


def windows_text(windows: Iterable[Window]) -> str:
    """Return windows as JSON."""
    return json.dumps([[window.upto, window.partial] for window in windows])


def _columns(kept: Kept) -> str:
    schema = base64.b64encode(kept.columns.remove_metadata().serialize()).decode()
    return json.dumps({"schema": schema, "control": kept.control, "adding": kept.adding})


def columns(told: str) -> pa.Schema:
    """Return a target's columns as they are kept in COLUMNS."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(json.loads(told)["schema"])))


def read(row: tuple[Any, ...]) -> Kept:
    """Read a row: STREAM, then the columns in the order above."""
    stream, schema, table, landing, key, seq, shape = row[:7]
    mark, merged, ready, generation, staging, windows, errors, streamed, ended = row[7:]
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
        int(errors or 0),
        None if streamed is None else int(streamed),
        ended,
    )
