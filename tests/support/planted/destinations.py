"""Destinations on files: right ones, and wrong ones that each break one promise.

What is durable is one file, put in its place in one step, so that a killed process leaves the old or the new.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pyarrow as pa
import pyarrow.compute as pc
from support.planted.destination_settings import FiledConfig

from etl_core.errors import AuthError, RetryableError, SchemaError, StateError
from etl_core.interfaces import Context, Destination
from etl_core.model import (
    DELETED,
    OLD_KEY,
    OP,
    SEQ,
    UNCHANGED,
    AddColumn,
    Change,
    Delivery,
    DropColumn,
    Mode,
    Position,
    Rejected,
    RenameColumn,
    Step,
    Stream,
    TableSchema,
    Write,
)

Row = dict[str, Any]


@attrs.define
class Table:
    """A table's rows, and what is kept with them. Arrow tables are never changed, only replaced."""

    schema: TableSchema
    rows: pa.Table
    staged: pa.Table | None = None
    begun: bytes | None = None
    mark: bytes = b""


@attrs.define
class File:
    """All that is durable."""

    tables: dict[Stream, Table] = attrs.field(factory=dict)
    positions: dict[str, Position | None] = attrs.field(factory=dict)
    fences: dict[str, str] = attrs.field(factory=dict)


def load(path: Path) -> File:
    return pickle.loads(path.read_bytes()) if path.exists() else File()


def save(path: Path, file: File) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(pickle.dumps(file))
    beside.replace(path)


def read(path: Path, stream: Stream) -> pa.Table | None:
    found = load(path).tables.get(stream)
    return found.rows if found else None


class Filed(Destination):
    """Keeps its position with the data: exactly once in every mode."""

    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    keeps_position: ClassVar[bool] = True
    stages: ClassVar[bool] = True
    transactional_ddl: ClassVar[bool] = True

    def __init__(self, config: FiledConfig) -> None:
        self._path = config.path
        self._password = config.password
        self._file = File()
        self._fence = self._pipeline = ""

    def open(self, ctx: Context, fence: str) -> None:
        if self._password.reveal() != "open sesame":
            raise AuthError("the password is wrong")
        self._fence, self._pipeline = fence, ctx.pipeline
        self._file = load(self._path)
        self._file.fences[ctx.pipeline] = fence
        save(self._path, self._file)

    def table(self, stream: Stream) -> TableSchema | None:
        found = self._file.tables.get(stream)
        return found.schema if found else None

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        known = self._file.tables.get(table.stream)
        if known is None:
            fields = [*table.columns, *(table.control or ())]
            empty = pa.schema([field.with_nullable(True) for field in fields]).empty_table()
            self._file.tables[table.stream] = Table(table, empty)
            return
        if self.is_known(table, known):
            return
        for change in changes:
            known.rows = self.changed(known.rows, change)
            if known.staged is not None:
                known.staged = self.changed(known.staged, change)
        control = set(table.control.names) if table.control is not None else set()
        columns = pa.schema([field for field in known.rows.schema if field.name not in control])
        seq = table.seq or known.schema.seq
        known.schema = attrs.evolve(table, columns=columns, seq=seq)

    def is_known(self, table: TableSchema, known: Table) -> bool:
        return bool(table.seq and known.schema.seq and table.seq <= known.schema.seq)

    def changed(self, rows: pa.Table, change: Change) -> pa.Table:
        if isinstance(change, AddColumn):
            return self.added(rows, change)
        if isinstance(change, RenameColumn):
            names = [change.new if name == change.old else name for name in rows.column_names]
            return rows.rename_columns(names)
        if isinstance(change, DropColumn):
            return rows.drop_columns([change.name])
        place = rows.schema.get_field_index(change.name)
        return rows.set_column(place, change.name, rows.column(place).cast(change.type))

    def added(self, rows: pa.Table, change: AddColumn) -> pa.Table:
        return rows.append_column(change.name, pa.array([change.default] * rows.num_rows, change.type))

    def write(self, write: Write) -> Sequence[Rejected] | None:
        table = self._file.tables[write.stream]
        if write.step is Step.BEGIN:
            table.staged, table.begun = table.rows.slice(0, 0), write.seq
        elif write.step is Step.END:
            self.end(table, write.mode)
        elif write.mode is Mode.TRUNCATE:
            table.rows = table.rows.slice(0, 0)
        elif write.step is Step.ROWS and write.rows is not None:
            self.stage(table, write.rows)
        elif write.rows is not None:
            return self.put(table, write, write.rows)
        return None

    def stage(self, table: Table, rows: pa.Table) -> None:
        assert table.staged is not None
        table.staged = pa.concat_tables([table.staged, aligned(rows, table.staged.schema)])

    def end(self, table: Table, mode: Mode) -> None:
        staged = table.staged
        assert staged is not None
        table.rows = pa.concat_tables([table.rows, staged]) if mode is Mode.APPEND else staged
        table.staged = None

    def put(self, table: Table, write: Write, rows: pa.Table) -> list[Rejected]:
        if write.mode is Mode.APPEND:
            table.rows = pa.concat_tables([table.rows, self.appended(aligned(rows, table.rows.schema))])
            return []
        refused = self.merge(table, rows)
        return [Rejected(write.stream, rows.take(refused), "no_base_row")] if refused else []

    def appended(self, rows: pa.Table) -> pa.Table:
        return rows

    def merge(self, table: Table, rows: pa.Table) -> list[int]:
        there, come = cells(table.rows, table, 0), cells(rows, table, table.rows.num_rows)
        base = {self.key_of(row, table): row for row in there}
        taken, gone, refused = [], set(), []
        for number, row in enumerate(come):
            key, old = self.key_of(row, table), self.old_key_of(row, table)
            result = self.result(row, base.get(old or key), table)
            if result is None and row[OP] != "d":
                refused.append(number)
                continue
            gone |= {key, *([old] if old else [])}
            taken += [result] if result is not None else []
        kept = [row for key, row in base.items() if key not in self.removed(gone, taken, table)]
        whole = pa.concat_tables([table.rows, aligned(rows, table.rows.schema)])
        table.rows = written([*kept, *taken], whole)
        return refused

    def removed(self, gone: set[Any], taken: Sequence[Row], table: Table) -> set[Any]:
        return gone

    def key_of(self, row: Row, table: Table) -> tuple[Any, ...]:
        return tuple(row[name] for name in table.schema.key)

    def old_key_of(self, row: Row, table: Table) -> tuple[Any, ...] | None:
        return tuple(row[OLD_KEY][name] for name in table.schema.key) if row[OLD_KEY] else None

    def result(self, row: Row, base: Row | None, table: Table) -> Row | None:
        """Return the row that is there afterwards: None for one that is removed, or lacks its base."""
        names = table.rows.column_names
        if row[OP] == "d":
            ours = {name: row[name] for name in names if name.startswith("_etl_")}
            return {**base, **ours} if base is not None and DELETED in names else None
        unchanged = row[UNCHANGED] or ()
        if unchanged and base is None:
            return None
        return {name: base[name] if base and name in unchanged else row.get(name) for name in names}

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self.require_fence()
        self._file.positions[self._pipeline] = position
        save(self._path, self._file)
        return None

    def require_fence(self) -> None:
        if load(self._path).fences[self._pipeline] != self._fence:
            raise StateError("another copy has opened the file")

    def abort(self) -> None:
        self._file = load(self._path)

    def resume_position(self) -> Position | None:
        return self._file.positions.get(self._pipeline)

    def set_position(self, position: Position | None) -> None:
        self.abort()
        self._file.positions[self._pipeline] = position
        save(self._path, self._file)

    def close(self) -> None:
        self._file = File()


@attrs.frozen
class Cell:
    """A value that stays in Arrow: its place in a table and what is added to it."""

    place: int


def cells(rows: pa.Table, table: Table, first: int) -> list[Row]:
    """Return rows as dicts; what is neither of the key nor reserved as cells."""
    names = [name for name in rows.column_names if name in table.schema.key or name.startswith("_etl_")]
    others = [name for name in rows.column_names if name not in names]
    found = rows.select(names).to_pylist()
    return [{**row, **{name: Cell(first + n) for name in others}} for n, row in enumerate(found)]


def written(rows: Sequence[Row], whole: pa.Table) -> pa.Table:
    """Return dicts as rows again, with the values of cells from the columns of a table."""
    columns = [
        picked([row[each.name] for row in rows], whole.column(each.name), each) for each in whole.schema
    ]
    return pa.table(columns, schema=whole.schema)


def picked(values: Sequence[Any], column: pa.ChunkedArray, field: pa.Field) -> Any:
    """Return values, which are cells, None or plain."""
    if not any(isinstance(value, Cell) for value in values):
        return pa.array(values, field.type)
    none = pa.nulls(1, field.type)
    parts = [column.slice(v.place, 1).chunk(0) if isinstance(v, Cell) else none for v in values]
    try:
        return pa.concat_arrays(parts)
    except pa.ArrowNotImplementedError:
        return pa.chunked_array(parts, field.type)


def aligned(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with exactly the columns of a table."""
    names = rows.column_names
    columns = [
        rows.column(field.name) if field.name in names else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    pairs = zip(columns, schema.types, strict=True)
    columns = [each if each.type == wanted else each.cast(wanted) for each, wanted in pairs]
    return pa.table(columns, schema=schema)


class Marked(Filed):
    """Keeps a high-water mark per stream instead of its position: exactly once by sequences."""

    keeps_position: ClassVar[bool] = False

    def delivery(self, mode: Mode) -> Delivery:
        return Delivery.EXACTLY_ONCE

    def write(self, write: Write) -> Sequence[Rejected] | None:
        table = self._file.tables[write.stream]
        self.require_epoch(write.seq, table)
        if write.step is Step.BEGIN and write.seq:
            table.mark = (int.from_bytes(write.seq, "big") - 1).to_bytes(20, "big")
        elif write.rows is None and self.is_old(write.seq, table):
            return None
        if write.rows is not None and SEQ in write.rows.column_names:
            write = attrs.evolve(write, rows=self.new(write.rows, table))
        if write.step is not Step.BEGIN:
            table.mark = max(table.mark, write.seq or b"")
        return super().write(write)

    def require_epoch(self, seq: bytes | None, table: Table) -> None:
        if seq and seq[:4] < table.mark[:4]:
            raise StateError("what is there is of a later epoch")

    def is_old(self, seq: bytes | None, table: Table) -> bool:
        return seq is not None and seq <= table.mark

    def new(self, rows: pa.Table, table: Table) -> pa.Table:
        """Return the rows above the mark; rows without a sequence are never known again."""
        seqs = rows.column(SEQ)
        mask = pc.fill_null(pc.greater(seqs.cast(pa.binary()), pa.scalar(table.mark, pa.binary())), True)
        every = not table.mark or pc.all(mask, min_count=0).as_py()
        return rows if every else rows.filter(mask)  # of some types rows cannot be taken

    def end(self, table: Table, mode: Mode) -> None:
        """In a history, what was added since a beginning that is repeated comes again."""
        if mode is Mode.APPEND and table.begun and table.rows.num_rows:
            older = pc.less(table.rows.column(SEQ).cast(pa.binary()), pa.scalar(table.begun, pa.binary()))
            table.rows = table.rows.filter(pc.fill_null(older, True))
        super().end(table, mode)


class MergesOnly(Filed):
    """Cannot append."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.MERGE, Mode.TRUNCATE})
    stages: ClassVar[bool] = False


class ReplacesOnly(Filed):
    """Takes snapshots only."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.REPLACE})


class Choosy(Filed):
    """Has few types, no table of more than one writer, and says so."""

    _held: ClassVar[set[Path]] = set()

    def stored(self, type: pa.DataType) -> pa.DataType:
        if pa.types.is_decimal(type):
            raise SchemaError("there is no such type here", "cast the column", type=str(type))
        return pa.string() if type == pa.uint64() else type

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        columns = [field.with_type(self.stored(field.type)) for field in table.columns]
        super().ensure(attrs.evolve(table, columns=pa.schema(columns)), changes)

    def open(self, ctx: Context, fence: str) -> None:
        if self._path in self._held:
            raise RetryableError("the file is open")
        super().open(ctx, fence)
        self._held.add(self._path)

    def put(self, table: Table, write: Write, rows: pa.Table) -> list[Rejected]:
        for name in rows.column_names:
            if pa.types.is_floating(rows.schema.field(name).type):
                finite = pc.fill_null(pc.is_finite(rows.column(name)), True)
                refused = Rejected(write.stream, rows.filter(pc.invert(finite)), "not_finite", name)
                return [refused, *super().put(table, write, rows.filter(finite))]
        return super().put(table, write, rows)

    def close(self) -> None:
        if self._fence:
            self._held.discard(self._path)
        self._fence = ""
        super().close()


class Plain(Destination):
    """A history in files of a directory, one per flush: at least once."""

    def __init__(self, config: FiledConfig) -> None:
        self._path = config.path
        self._accepted: list[tuple[Stream, pa.Table]] = []

    def open(self, ctx: Context, fence: str) -> None:
        self._path.mkdir(exist_ok=True)

    def write(self, write: Write) -> Sequence[Rejected] | None:
        if write.rows is not None:
            self._accepted.append((write.stream, write.rows))
        return None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        name = f"{len(list(self._path.iterdir())):06}-{os.getpid()}"
        beside = self._path.with_name(f".{name}")
        beside.write_bytes(pickle.dumps(self._accepted))
        beside.replace(self._path / name)
        self._accepted = []
        return None

    def abort(self) -> None:
        self._accepted = []

    def close(self) -> None:
        self._accepted = []


def read_plain(path: Path, stream: Stream) -> pa.Table | None:
    """Return the rows of a stream from every file, in order."""
    files = sorted(path.iterdir()) if path.exists() else []
    kept = [each for file in files for each in pickle.loads(file.read_bytes())]
    rows = [table for name, table in kept if name == stream]
    return pa.concat_tables(rows, promote_options="permissive") if rows else None


class Piped(Plain):
    """The same, confirming marks from a thread."""

    def open(self, ctx: Context, fence: str) -> None:
        super().open(ctx, fence)
        self._ctx = ctx
        self._done: list[Position] = []

    def mark(self, position: Position) -> None:
        accepted, self._accepted = self._accepted, []
        previous = getattr(self, "_thread", None)
        self._thread = self._ctx.spawn(self._deliver, accepted, position, previous, name="deliver")

    def _deliver(self, accepted: Any, position: Position, previous: threading.Thread | None) -> None:
        if previous is not None:
            previous.join()
        part = Plain(FiledConfig(self._path))
        part._accepted = accepted
        part.flush(position)
        self._done.append(position)

    def durable(self) -> tuple[Position, Sequence[Rejected] | None] | None:
        return (self._done.pop(0), None) if self._done else None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self.mark(position)
        self._thread.join()
        self._done.clear()
        return None

    def close(self) -> None:
        super().close()
        if thread := self.__dict__.pop("_thread", None):
            thread.join()


Fault = Callable[..., Any]
_ENDED = threading.Event()
