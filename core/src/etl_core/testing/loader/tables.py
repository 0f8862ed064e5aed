"""A table in memory to which writes are applied as the data model says, one after the other.

It is plain Python over dictionaries: what a destination must do, without a destination.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import define, field

from etl_core.model import (
    DELETED,
    OLD_KEY,
    OP,
    RESERVED,
    SEQ,
    UNCHANGED,
    Change,
    Mode,
    Step,
    TableSchema,
    Write,
)
from etl_core.testing.script import Row, altered_row

__all__ = ["ReferenceTable"]

Key = tuple[Any, ...]


@define
class ReferenceTable:
    """Rows by key under MERGE, in order otherwise. Rows whose seq is not above `mark` are skipped.

    `refused` counts partial rows without a base row, and rows without a key.
    """

    mark: bytes = b""
    by_key: dict[Key, Row] = field(factory=dict)
    in_order: list[Row] = field(factory=list)
    refused: int = 0
    _staged_by_key: dict[Key, Row] = field(factory=dict)
    _staged_in_order: list[Row] = field(factory=list)

    def apply(self, write: Write, table: TableSchema) -> None:
        """Apply one write to what is there, or to what is staged."""
        if write.step is Step.BEGIN:
            self._staged_by_key, self._staged_in_order = {}, []
        elif write.step is Step.END:
            self._show(write.mode)
        elif write.mode is Mode.TRUNCATE:
            if self._is_new(write.seq):
                self.by_key, self.in_order = {}, []
        elif write.rows is not None:
            self._put(write, table)

    def alter(self, changes: Sequence[Change]) -> None:
        """Change a mirror's rows as a change of schema does; those of a history stay as they were told."""
        self.by_key = {key: altered_row(row, changes) for key, row in self.by_key.items()}

    def live(self) -> list[Row]:
        """Return the rows without those that are only marked as deleted."""
        return [row for row in [*self.by_key.values(), *self.in_order] if not row.get(DELETED)]

    def _put(self, write: Write, table: TableSchema) -> None:
        assert write.rows is not None
        staged = write.step is Step.ROWS
        rows = [row for row in write.rows.to_pylist() if self._is_new(row.get(SEQ))]
        if write.mode is Mode.MERGE:
            base = self._staged_by_key if staged else self.by_key
            self._merge(base, rows, table)
        else:
            (self._staged_in_order if staged else self.in_order).extend(rows)

    def _merge(self, base: dict[Key, Row], rows: Sequence[Row], table: TableSchema) -> None:
        """Read the base rows of all keys and old keys, remove both, put the rows."""
        found = [(row, *_keys(row, table.key)) for row in rows]
        bases = [base.get(origin) for _, _, origin in found]
        for _, key, origin in found:
            base.pop(key, None)
            base.pop(origin, None)
        for (row, key, _), before in zip(found, bases, strict=True):
            base.update((key, kept) for kept in self._kept(row, key, before, table))

    def _kept(self, row: Row, key: Key, before: Row | None, table: TableSchema) -> Iterator[Row]:
        """Yield the row that stays under the key, if one does."""
        soft = table.control is not None and DELETED in table.control.names
        unsent = row[UNCHANGED] or ()
        if row[OP] == "d":
            if soft and before is not None:
                yield {**before, DELETED: True}
        elif None in key or (unsent and before is None):
            self.refused += 1
        else:
            own = {name: value for name, value in row.items() if name not in RESERVED}
            yield {**own, **{name: (before or {}).get(name) for name in unsent}}

    def _show(self, mode: Mode) -> None:
        if mode is Mode.APPEND:
            self.in_order += self._staged_in_order
        elif mode is Mode.MERGE:
            self.by_key = self._staged_by_key
        else:
            self.in_order = self._staged_in_order
        self._staged_by_key, self._staged_in_order = {}, []

    def _is_new(self, seq: bytes | None) -> bool:
        return seq is None or seq > self.mark


def _keys(row: Row, names: Sequence[str]) -> tuple[Key, Key]:
    """Return a row's key, and the key that it had before."""
    key = tuple(row[name] for name in names)
    old = row[OLD_KEY]
    return key, tuple(old[name] for name in names) if old else key
