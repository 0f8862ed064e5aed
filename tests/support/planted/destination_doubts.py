"""Wrong destinations that look right from outside, until something happens that is rare."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, ClassVar

import attrs
import pyarrow as pa
import pyarrow.compute as pc
from support.planted.destinations import Filed, Marked, Piped, Plain, Table, load, save

from etl_core.model import SEQ, Change, Mode, Position, Rejected, TableSchema, Write


class PositionAfterRows(Filed):
    """Commits the rows, then the position."""

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self.require_fence()
        self._file.positions[self._pipeline] = load(self._path).positions.get(self._pipeline)
        save(self._path, self._file)
        return super().flush(position)


class PositionBeforeRows(Filed):
    """Commits the position, then the rows."""

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self.require_fence()
        before = load(self._path)
        before.positions[self._pipeline] = position
        save(self._path, before)
        return super().flush(position)


class MarksAfterRows(Marked):
    """Commits the rows, then the marks that tell which they are."""

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        marks = {stream: table.mark for stream, table in self._file.tables.items()}
        before = load(self._path).tables
        for stream, table in self._file.tables.items():
            table.mark = before[stream].mark if stream in before else b""
        save(self._path, self._file)
        for stream, table in self._file.tables.items():
            table.mark = marks[stream]
        return super().flush(position)


class IntegersThroughFloats(Filed):
    """Takes the way of JSON in many languages."""

    def appended(self, rows: pa.Table) -> pa.Table:
        for place, field in enumerate(rows.schema):
            if field.type == pa.int64():
                values = [
                    None if value is None else min(int(float(value)), 2**63 - 512)
                    for value in rows.column(place).to_pylist()
                ]
                rows = rows.set_column(place, field, pa.array(values, pa.int64()))
        return rows


class KeepsOneStream(Plain):
    """Of several streams between two flushes only the first is kept."""

    def flush(self, position: Position) -> Sequence[Rejected] | None:
        self._accepted = [each for each in self._accepted if each[0] == self._accepted[0][0]]
        return super().flush(position)


class NeedsAKey(Filed):
    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        if not table.key:
            raise ValueError("PRIMARY KEY ()")
        super().ensure(table, changes)


class TakesEqualRowsForOne(Plain):
    def write(self, write: Write) -> Sequence[Rejected] | None:
        if write.rows is not None:
            known: set[str] = set()
            new = [not (repr(row) in known or known.add(repr(row))) for row in write.rows.to_pylist()]
            write = attrs.evolve(write, rows=write.rows.filter(pa.array(new, pa.bool_())))
        return super().write(write)


class MarksWithoutEpoch(Marked):
    """Compares all but the epoch: after a reset all is old."""

    def new(self, rows: pa.Table, table: Table) -> pa.Table:
        seqs = rows.column(SEQ).to_pylist()
        above = [seq is None or seq[4:] > table.mark[4:] for seq in seqs]
        return rows.filter(pa.array(above, pa.bool_())) if table.mark else rows


class CutsWhatIsMerged(Filed):
    """Texts lose the blanks at their end where rows are merged."""

    def put(self, table: Table, write: Write, rows: pa.Table) -> list[Rejected]:
        return super().put(table, write, _trimmed(rows) if write.mode is Mode.MERGE else rows)


class LosesStagedBytes(Filed):
    """Bytes are null in what comes with a snapshot."""

    def stage(self, table: Table, rows: pa.Table) -> None:
        super().stage(table, _without_bytes(rows))


class ReplacesWithLoss(LosesStagedBytes):
    """The same, and more than a thousand rows are cut; takes nothing but snapshots."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.REPLACE})

    def stage(self, table: Table, rows: pa.Table) -> None:
        super().stage(table, rows.slice(0, 1000))


class NamesMarksTooSoon(Piped):
    """Says durable at once; what was marked is delivered a moment later."""

    def mark(self, position: Position) -> None:
        super().mark(position)
        self._named = position

    def _deliver(self, accepted: Any, position: Position, previous: threading.Thread | None) -> None:
        self._ctx.cancel.wait(0.3)
        super()._deliver(accepted, position, previous)

    def durable(self) -> tuple[Position, Sequence[Rejected] | None] | None:
        named = self.__dict__.pop("_named", None)
        return (named, None) if named else None


class AllTexts(Filed):
    """A right one: whole numbers are texts here, as in CSV, and it says so."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})

    def stored(self, type: pa.DataType) -> pa.DataType:
        return pa.string() if pa.types.is_integer(type) else type

    def ensure(self, table: TableSchema, changes: Sequence[Change]) -> None:
        columns = [field.with_type(self.stored(field.type)) for field in table.columns]
        super().ensure(attrs.evolve(table, columns=pa.schema(columns)), changes)


class ReplacesInOneGo(Filed):
    """Takes nothing but snapshots, and cannot stage them: no loader serves it."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.REPLACE})
    stages: ClassVar[bool] = False


def _trimmed(rows: pa.Table) -> pa.Table:
    for place, field in enumerate(rows.schema):
        if pa.types.is_string(field.type) and not field.name.startswith("_etl"):
            rows = rows.set_column(place, field, pc.utf8_rtrim_whitespace(rows.column(place)))
    return rows


def _without_bytes(rows: pa.Table) -> pa.Table:
    for place, field in enumerate(rows.schema):
        if pa.types.is_binary(field.type) and not field.name.startswith("_etl"):
            rows = rows.set_column(place, field, pa.nulls(len(rows), field.type))
    return rows
