"""What the schema policy decides about a table, and the table while it is being decided."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
from attrs import Factory, define, frozen

from etl_core.model import AddColumn, Change, DropColumn, RenameColumn, TableSchema, WidenColumn

__all__ = ["Plan", "Working"]


@frozen
class Plan:
    """The table to ensure, the changes that lead to it, and what rows must give up to fit.

    `left_out` are columns the table does not have, `nulled` those whose values it cannot take,
    `rejects_null` those in which it takes no null.
    """

    table: TableSchema
    changes: tuple[Change, ...] = ()
    left_out: frozenset[str] = frozenset()
    nulled: frozenset[str] = frozenset()
    rejects_null: frozenset[str] = frozenset()


@define
class Working:
    """A table's columns by folded name, and the changes made to them so far."""

    fold: Callable[[str], str]
    columns: dict[str, pa.Field]
    changes: list[Change] = Factory(list)

    @classmethod
    def of(cls, table: TableSchema, fold: Callable[[str], str]) -> Working:
        fields = [*table.columns, *(table.control or ())]
        return cls(fold, {fold(field.name): field for field in fields})

    def find(self, name: str) -> pa.Field | None:
        return self.columns.get(self.fold(name))

    def drop(self, name: str) -> None:
        self.changes.append(DropColumn(self.columns.pop(self.fold(name)).name))

    def rename(self, old: str, new: str) -> None:
        field = self.columns.pop(self.fold(old))
        if field.name != new:
            self.changes.append(RenameColumn(field.name, new))
        self.columns[self.fold(new)] = field.with_name(new)

    def add(self, change: AddColumn) -> None:
        self.changes.append(change)

    def widen(self, change: WidenColumn) -> None:
        self.changes.append(change)
