"""Wrong destinations that look right from outside, until something happens that is rare."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from support.planted.destinations import Filed, Marked, load, save

from etl_core.model import Position, Rejected


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
