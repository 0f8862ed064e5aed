"""Wrong destinations: each breaks one promise that `Filed`, `Marked` or `Plain` keeps."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from decimal import Decimal
from math import isnan
from typing import Any

import attrs
import pyarrow as pa
import pyarrow.compute as pc
from support.planted.destinations import File, Filed, Marked, Piped, Plain, Row, Table, load, save

from etl_core.errors import AuthError, SchemaError
from etl_core.interfaces import Context
from etl_core.model import (
    OP,
    SEQ,
    UNCHANGED,
    AddColumn,
    Change,
    Mode,
    Position,
    Rejected,
    RenameColumn,
    Step,
    Stream,
    TableSchema,
    WidenColumn,
    Write,
)

#: Lets the threads of `LeavesAThread` end.
ENDED = threading.Event()


class CommitsAtWrite(Filed):
    def write(self, write: Write) -> Sequence[Rejected] | None:
        refused = super().write(write)
        save(self._path, self._file)
        return refused


class FlushesAtClose(Filed):
    """Says durable, and is when it is closed: nobody sees that but a process that is killed."""

    _waiting: File | None = None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        before = load(self._path)
        super().flush(position)
        self._waiting = load(self._path)
        save(self._path, before)
        return None

    def abort(self) -> None:
        self.close()
        super().abort()

    def close(self) -> None:
        if self._waiting is not None:
            save(self._path, self._waiting)
        self._waiting = None
        super().close()


class AbortForgetsNothing(Filed):
    def abort(self) -> None:
        pass


class PositionAtClose(Filed):
    """Stores rows in `flush`, and their position later."""

    _late: Position | None = None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self.require_fence()
        save(self._path, self._file)
        self._file.positions[self._pipeline] = self._late = position
        return None

    def abort(self) -> None:
        super().abort()
        if self._late is not None:
            self._file.positions[self._pipeline] = self._late

    def close(self) -> None:
        if self._late is not None:
            file = load(self._path)
            file.positions[self._pipeline] = self._late
            save(self._path, file)
        self._late = None
        super().close()


class OnePosition(Filed):
    """Does not tell pipelines apart."""

    def open(self, ctx: Context, fence: str) -> None:
        super().open(ctx, fence)
        self._pipeline = "the only one"
        self._file.fences[self._pipeline] = fence
        save(self._path, self._file)


class SetsNoPosition(Filed):
    def set_position(self, position: Position | None) -> None:
        pass


class IgnoresTheMark(Marked):
    def new(self, rows: pa.Table, table: Table) -> pa.Table:
        return rows


class IgnoresTheEpoch(Marked):
    def require_epoch(self, seq: bytes | None, table: Table) -> None:
        pass


class IgnoresTheFence(Filed):
    def require_fence(self) -> None:
        pass


class NullForUnchanged(Filed):
    def result(self, row: Row, base: Row | None, table: Table) -> Row | None:
        result = super().result(row, base, table)
        return {name: row.get(name) for name in result} if result and row[OP] != "d" else result


class UnchangedFromNewKey(Filed):
    """Takes what was not sent from the row of the new key, also where the key changed."""

    def merge(self, table: Table, rows: pa.Table) -> list[int]:
        self._base = {self.key_of(row, table): row for row in table.rows.to_pylist()}
        return super().merge(table, rows)

    def result(self, row: Row, base: Row | None, table: Table) -> Row | None:
        own = self._base.get(self.key_of(row, table), dict.fromkeys(table.rows.column_names))
        return super().result(row, own if base is not None else None, table)


class FillsPartialRows(Filed):
    def result(self, row: Row, base: Row | None, table: Table) -> Row | None:
        lacking = base is None and row[UNCHANGED] and row[OP] != "d"
        return super().result({**row, UNCHANGED: None} if lacking else row, base, table)


class KeepsTheOldRow(Filed):
    def removed(self, gone: set[Any], taken: Sequence[Row], table: Table) -> set[Any]:
        return gone & {self.key_of(row, table) for row in taken} | self._deleted

    def merge(self, table: Table, rows: pa.Table) -> list[int]:
        deletes = (row for row in rows.to_pylist() if row[OP] == "d")
        self._deleted = {self.key_of(row, table) for row in deletes}
        return super().merge(table, rows)


class KeepsDeletedRows(Filed):
    def removed(self, gone: set[Any], taken: Sequence[Row], table: Table) -> set[Any]:
        kept = {self.key_of(row, table) for row in taken}
        return {key for key in gone if key in kept or key in self._moved}

    def merge(self, table: Table, rows: pa.Table) -> list[int]:
        self._moved = {self.old_key_of(row, table) for row in rows.to_pylist()}
        return super().merge(table, rows)


class DeletesForGood(Filed):
    """Removes rows that a mirror with soft deletes only marks."""

    def result(self, row: Row, base: Row | None, table: Table) -> Row | None:
        return None if row[OP] == "d" else super().result(row, base, table)


class MixesUpTheKey(Filed):
    """Takes the columns of the key in the order in which rows have them, and the old key's as they come."""

    def key_of(self, row: Row, table: Table) -> tuple[Any, ...]:
        return tuple(row[name] for name in table.rows.column_names if name in table.schema.key)


class FirstOfTheKey(Filed):
    def key_of(self, row: Row, table: Table) -> tuple[Any, ...]:
        return super().key_of(row, table)[:1]

    def old_key_of(self, row: Row, table: Table) -> tuple[Any, ...] | None:
        old = super().old_key_of(row, table)
        return old[:1] if old else None


class IgnoresTruncate(Filed):
    def write(self, write: Write) -> Sequence[Rejected] | None:
        return None if write.mode is Mode.TRUNCATE else super().write(write)


class Reorders(Filed):
    """Puts the rows of a history in another order."""

    def appended(self, rows: pa.Table) -> pa.Table:
        if rows.num_rows > 100:
            return rows
        return pa.concat_tables([rows.slice(n, 1) for n in reversed(range(rows.num_rows))] or [rows])


class WritesInReverse(Filed):
    """Carries the writes of a commit out in reverse order."""

    def open(self, ctx: Context, fence: str) -> None:
        super().open(ctx, fence)
        self._waiting: list[Write] = []

    def write(self, write: Write) -> Sequence[Rejected] | None:
        if write.step is not None or write.mode is not Mode.MERGE or _partial(write):
            return super().write(write)
        self._waiting.append(write)
        return None

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        for write in reversed(self._waiting):
            super().write(write)
        self._waiting.clear()
        return super().flush(position)


class StopsAtAnEmptyChunk(Filed):
    def appended(self, rows: pa.Table) -> pa.Table:
        batches = []
        for number, batch in enumerate(rows.to_batches()):
            if number and (not batch.num_rows or number > 3):
                break
            batches.append(batch)
        return pa.Table.from_batches(batches, rows.schema)


class CutsLargeWrites(Filed):
    def appended(self, rows: pa.Table) -> pa.Table:
        return rows.slice(0, 1000)


class RoundsDecimals(Filed):
    def appended(self, rows: pa.Table) -> pa.Table:
        return _each(rows, pa.types.is_decimal, lambda d: Decimal(float(d)).quantize(Decimal("0.0001")))


class CutsTimestamps(Filed):
    def appended(self, rows: pa.Table) -> pa.Table:
        for place, field in enumerate(rows.schema):
            if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
                micros = pc.multiply(pc.divide(rows.column(place).cast(pa.int64()), 1000), 1000)
                rows = rows.set_column(place, field, micros.cast(field.type))
        return rows


class ForgetsNaN(Filed):
    def appended(self, rows: pa.Table) -> pa.Table:
        return _each(rows, pa.types.is_float64, lambda value: None if isnan(value) else value)


class EmptyIsNull(Filed):
    def appended(self, rows: pa.Table) -> pa.Table:
        return _each(rows, pa.types.is_string, lambda text: text or None)


class RefusesWithoutTheType(Plain):
    def stored(self, type: pa.DataType) -> pa.DataType:
        if pa.types.is_map(type):
            raise ValueError("maps")
        if pa.types.is_interval(type):
            raise SchemaError("no", type="something", column="something")
        return type


class LosesDefaults(Filed):
    def added(self, rows: pa.Table, change: AddColumn) -> pa.Table:
        return super().added(rows, AddColumn(change.name, change.type))


class AddsForRename(Filed):
    def changed(self, rows: pa.Table, change: Change) -> pa.Table:
        if isinstance(change, RenameColumn):
            change = AddColumn(change.new, rows.schema.field(change.old).type)
        return super().changed(rows, change)


class ForgetsForWiden(Filed):
    def changed(self, rows: pa.Table, change: Change) -> pa.Table:
        if isinstance(change, WidenColumn):
            place = rows.schema.get_field_index(change.name)
            return rows.set_column(place, change.name, pa.nulls(len(rows), change.type))
        return super().changed(rows, change)


class DropsNothing(Filed):
    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        super().ensure(table, [change for change in changes if type(change).__name__ != "DropColumn"])


class ChangesAgain(Filed):
    def is_known(self, table: TableSchema, known: Table) -> bool:
        return False


class ForgetsTheKey(Filed):
    def table(self, stream: Stream) -> TableSchema | None:
        found = super().table(stream)
        return attrs.evolve(found, key=()) if found else None


class MakesTablesWhenAsked(Filed):
    def table(self, stream: Stream) -> TableSchema | None:
        if stream not in self._file.tables and stream.name == "absent":
            self.ensure(TableSchema(stream, pa.schema([("id", pa.int64())])), ())
            save(self._path, self._file)
        return super().table(stream)


class ShowsStagedRows(Filed):
    def stage(self, table: Table, rows: pa.Table) -> None:
        super().stage(table, rows)
        table.rows = pa.concat_tables([table.rows, rows.select(table.rows.column_names)])


class KeepsAnUnfinishedRun(Filed):
    def write(self, write: Write) -> Sequence[Rejected] | None:
        if write.step is Step.BEGIN and self._file.tables[write.stream].staged is not None:
            return None
        return super().write(write)


class StagesInMemory(Filed):
    """Loses staged rows when it is closed."""

    def open(self, ctx: Context, fence: str) -> None:
        super().open(ctx, fence)
        for table in self._file.tables.values():
            if table.staged is not None:
                table.staged = table.staged.slice(0, 0)


class AddsSnapshots(Filed):
    """Lets the rows that were there stay when a snapshot ends."""

    def end(self, table: Table, mode: Mode) -> None:
        super().end(table, Mode.APPEND)


class ChecksWithATable(Filed):
    def check(self, ctx: Context) -> None:
        save(self._path, load(self._path))


class OpensOnce(Filed):
    _opened = False

    def open(self, ctx: Context, fence: str) -> None:
        if self._opened:
            raise RuntimeError("opened before")
        self._opened = True
        super().open(ctx, fence)


class ClosesOnlyOnce(Filed):
    def close(self) -> None:
        del self._closed

    def open(self, ctx: Context, fence: str) -> None:
        super().open(ctx, fence)
        self._closed = False


class LeavesAThread(Filed):
    def open(self, ctx: Context, fence: str) -> None:
        super().open(ctx, fence)
        threading.Thread(target=ENDED.wait, name="left behind", daemon=True).start()


class TellsTheSecret(Filed):
    def open(self, ctx: Context, fence: str) -> None:
        if self._password.reveal() != "open sesame":
            raise AuthError("the password is wrong", password=self._password.reveal())
        super().open(ctx, fence)


class TakesNoQuotes(Filed):
    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        if '"' in table.stream.name:
            raise SchemaError("not a name")
        super().ensure(table, changes)


class TakesOneCase(Filed):
    """Writes two tables whose names differ in case into one."""

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        super().ensure(attrs.evolve(table, stream=_lower(table.stream)), changes)

    def table(self, stream: Stream) -> TableSchema | None:
        return super().table(_lower(stream))

    def write(self, write: Write) -> Sequence[Rejected] | None:
        return super().write(attrs.evolve(write, stream=_lower(write.stream)))


class NarrowRows(Filed):
    """Knows of no table with more than 255 columns."""

    def appended(self, rows: pa.Table) -> pa.Table:
        if rows.num_columns < 256:
            return rows
        columns = [
            rows.column(n) if n < 255 else pa.nulls(len(rows), t) for n, t in enumerate(rows.schema.types)
        ]
        return pa.table(columns, schema=rows.schema)


class FailsWithoutRows(Filed):
    def appended(self, rows: pa.Table) -> pa.Table:
        rows.column(0)[0]
        return rows


class ForgetsSequences(Plain):
    """Is at-least-once, and does not keep what repeated rows are told by."""

    def write(self, write: Write) -> Sequence[Rejected] | None:
        rows = write.rows
        if rows is not None and SEQ in rows.column_names:
            place = rows.schema.get_field_index(SEQ)
            write = attrs.evolve(write, rows=rows.set_column(place, SEQ, pa.nulls(len(rows), pa.binary(20))))
        return super().write(write)


class DurableTooSoon(Piped):
    def durable(self) -> tuple[Position, Sequence[Rejected] | None] | None:
        return super().durable() or (Position(0, 0, "not marked"), None)


class NeverDurable(Piped):
    def durable(self) -> tuple[Position, Sequence[Rejected] | None] | None:
        return None


def _partial(write: Write) -> bool:
    return write.rows is not None and write.rows.column(UNCHANGED).null_count < write.rows.num_rows


def _lower(stream: Stream) -> Stream:
    return Stream(stream.namespace, stream.name.lower())


def _each(rows: pa.Table, is_type: Any, change: Any) -> pa.Table:
    for place, field in enumerate(rows.schema):
        if is_type(field.type) and not field.name.startswith("_etl_"):
            values = [None if value is None else change(value) for value in rows.column(place).to_pylist()]
            rows = rows.set_column(place, field, pa.array(values, field.type))
    return rows
