"""The destination `duckdb`: rows, position and fence in one transaction of one file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import attrs
import pyarrow as pa

from etl_core import (
    OLD_KEY,
    Change,
    Context,
    Destination,
    FatalError,
    Mode,
    Position,
    Rejected,
    RetryableError,
    SchemaError,
    StateError,
    Step,
    Stream,
    TableSchema,
    Write,
)
from etl_duckdb import control, staging, tables, target
from etl_duckdb.client import Database, inspect
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.control import Kept
from etl_duckdb.fitting import fitting
from etl_duckdb.incoming import accept, split
from etl_duckdb.merging import merge
from etl_duckdb.names import fold
from etl_duckdb.target import Target
from etl_duckdb.types import stored
from etl_duckdb.writing import append

__all__ = ["DuckDBDestination"]

#: Only one process can write a file; within it, openings of any file wait for each other.
_OPENING = threading.Lock()


class DuckDBDestination(Destination):
    """Exactly once in every mode: `flush` commits rows, position and fence together.

    A transaction is open from the first write or `ensure` after a flush on; nobody sees its rows before.
    """

    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    keeps_position: ClassVar[bool] = True
    stages: ClassVar[bool] = True
    transactional_ddl: ClassVar[bool] = True

    def __init__(self, config: DuckDBConfig) -> None:
        self._config = config
        self._open: Database | None = None
        self._pipeline = self._fence = ""
        self._lost = False

    def check(self, ctx: Context) -> None:
        """Verify that the file is a database that can be opened, or can be created. Changes nothing."""
        inspect(self._config.path)
        if self._config.path.exists():
            Database(self._config, read_only=True).close()

    def open(self, ctx: Context, fence: str) -> None:
        """Open or create the file and make `fence` durable in it."""
        self.close()
        self._pipeline, self._fence = ctx.pipeline, fence
        with _OPENING:
            self._open = Database(self._config)
            with self._step() as db:
                control.install(db)
                control.claim(db, ctx.pipeline, fence)
            db.commit()

    def fold(self, identifier: str) -> str:
        return fold(identifier)

    def stored(self, type: pa.DataType) -> pa.DataType:
        return stored(type)

    def table(self, stream: Stream) -> TableSchema | None:
        """Return the table in the file, also one that others made."""
        db = self._db()
        found = target.find(db, stream)
        if found is None:
            return None
        known = control.kept(db, stream)
        ours = {fold(name) for name in known.control}
        required = target.never_null(db, stream)
        fields = [field.with_nullable(fold(field.name) not in required) for field in found.columns]
        columns = pa.schema([field for field in fields if fold(field.name) not in ours])
        extra = pa.schema([field for field in fields if fold(field.name) in ours])
        return TableSchema(stream, columns, known.key, extra, known.seq)

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        """Create the table, or apply the changes, also to the stream's staged rows."""
        if not self._db().in_transaction:
            # Committed at once: in open transactions, two pipelines that make one schema would conflict.
            with _OPENING:
                tables.create_schema(self._db(), table.stream)
        with self._step() as db:
            known = control.kept(db, table.stream)
            found = target.find(db, table.stream)
            if found is None:
                tables.create_schema(db, table.stream)
                tables.create(db, table)
            elif changes and table.seq and known.seq and table.seq <= known.seq:
                return
            else:
                staged = staging.find(db, self._pipeline, table.stream)
                for each in [found, *([staged] if staged else [])]:
                    for change in changes:
                        tables.apply(db, each.name, change)
            extra = tuple(table.control.names) if table.control is not None else ()
            control.keep(db, table.stream, Kept(table.seq or known.seq, table.key, extra))

    def write(self, write: Write) -> Sequence[Rejected] | None:
        """Put a unit of work into the open transaction; return the rows it could not take."""
        with self._step() as db:
            found = target.find(db, write.stream)
            if found is None:
                raise SchemaError(
                    "the stream has no table", "it was dropped: run again", stream=str(write.stream)
                )
            if write.step is Step.BEGIN:
                staging.begin(db, self._pipeline, write.stream, found)
            elif write.step is Step.END:
                key = control.kept(db, write.stream).key
                staging.end(db, self._pipeline, write.stream, write.mode, found, key)
            elif write.mode in (Mode.TRUNCATE, Mode.REPLACE) and write.step is None:
                db.run(f"DELETE FROM {found.name}")
            return self._rows(db, write, write.rows, found) if write.rows is not None else None

    def flush(self, position: Position) -> None:
        """Commit what was written, with the position, if the fence is still ours."""
        try:
            with self._step() as db:
                control.advance(db, self._pipeline, self._fence, position)
                db.commit()
        except RetryableError:
            # Another opener's update may have been the conflict; going back would displace it in turn.
            control.require(self._db(), self._pipeline, self._fence)
            raise

    def abort(self) -> None:
        """Roll back; nothing since the last flush remains."""
        self._lost = False
        if self._open is not None:
            self._open.rollback()

    def resume_position(self) -> Position | None:
        return control.position(self._db(), self._pipeline)

    def set_position(self, position: Position | None) -> None:
        """Store the position, durable on return. Clearing it also discards unfinished snapshots."""
        self.abort()
        with self._step() as db:
            if position is None:
                staging.discard_all(db, self._pipeline)
            control.advance(db, self._pipeline, self._fence, position)
            db.commit()

    def close(self) -> None:
        self.abort()
        if self._open is not None:
            self._open.close()
            self._open = None

    def _db(self) -> Database:
        if self._open is None:
            raise StateError("the destination is not open", "call open first")
        return self._open

    @contextmanager
    def _step(self) -> Iterator[Database]:
        """Work in the open transaction; one failure and all of it is gone until `abort` says it is known."""
        db = self._db()
        if self._lost:
            raise FatalError("writes before a failure are gone", "call abort, then read the position again")
        try:
            db.begin()
            yield db
        except BaseException:
            self._lost = True
            db.rollback()
            raise

    def _rows(self, db: Database, write: Write, rows: pa.Table, found: Target) -> list[Rejected]:
        key = self._key(db, write.stream, rows.schema) if write.mode is Mode.MERGE else ()
        rows, refused = accept(write.stream, rows, key)
        staged = staging.unfinished(db, self._pipeline, write.stream) if write.step is Step.ROWS else None
        rows, misfits = fitting(db, write.stream, staged or found, rows)
        if staged is not None:
            staging.stage(db, staged, rows)
        elif write.mode is Mode.MERGE:
            rows, lacking = split(rows, merge(db, found, key, rows))
            refused += [Rejected(write.stream, lacking, "no_base_row")] if lacking.num_rows else []
        else:
            append(db, found, rows)
        return [*refused, *misfits]

    def _key(self, db: Database, stream: Stream, rows: pa.Schema) -> Sequence[str]:
        """Return the key of the rows; keep it with the table, where the end of a snapshot finds it."""
        known = control.kept(db, stream)
        key = tuple(field.name for field in rows.field(OLD_KEY).type)
        if key != known.key:
            control.keep(db, stream, attrs.evolve(known, key=key))
        return key
