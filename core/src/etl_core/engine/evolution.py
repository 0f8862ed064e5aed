"""The schema policy: how a stream's columns and its table are brought together, or why they are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import pyarrow as pa

from etl_core.config import SchemaPolicy
from etl_core.engine.fitting import fit
from etl_core.engine.following import Following
from etl_core.engine.plan import Plan, Working
from etl_core.engine.widening import holds, widens
from etl_core.errors import SchemaError
from etl_core.model import DELETED, OP, AddColumn, Change, TableSchema, WidenColumn

__all__ = ["Plan", "fit", "reconcile"]

_PREFIX = "_etl_"


def reconcile(
    current: TableSchema | None,
    wanted: TableSchema,
    changes: Sequence[Change],
    policy: SchemaPolicy,
    *,
    drop_columns: bool,
    stored: Callable[[pa.DataType], pa.DataType],
    fold: Callable[[str], str],
    replacing: bool = False,
) -> Plan:
    """Decide what becomes of a table so that rows of `wanted` can be written to it.

    `current` is the table as it is (None: absent), its types as `stored` gives them. `changes` are those
    announced since, in order; `replacing` says that a snapshot is about to replace every row.
    Raises SchemaError, before anything is changed, where the policy or the types leave no way.
    """
    _check_names(wanted, fold)
    if current is None:
        for field in wanted.columns:
            _kept(stored, wanted, field)
        return Plan(wanted, rejects_null=_never_null(wanted))
    working = Working.of(current, fold)
    return _Reconciliation(wanted, policy, stored, working, replacing).plan(changes, drop_columns)


def _kept(stored: Callable[[pa.DataType], pa.DataType], wanted: TableSchema, field: pa.Field) -> pa.DataType:
    """Return the type as which a column is kept; the error of one that is refused says which column it is."""
    try:
        return stored(field.type)
    except SchemaError as refused:
        for name, fact in (("stream", wanted.stream), ("column", field.name), ("type", field.type)):
            refused.facts.setdefault(name, str(fact))
        raise


def _check_names(wanted: TableSchema, fold: Callable[[str], str]) -> None:
    seen: dict[str, str] = {}
    for name in wanted.columns.names:
        if fold(name).startswith(fold(_PREFIX)):
            raise SchemaError(
                "a column has a reserved name",
                f"names that begin with {_PREFIX} are etl-core's: rename the column in a transform",
                stream=str(wanted.stream),
                column=name,
            )
        other = seen.setdefault(fold(name), name)
        if other != name or wanted.columns.names.count(name) > 1:
            raise SchemaError(
                "two columns have the same name in the destination",
                "rename one of them in a transform: the destination folds identifiers",
                stream=str(wanted.stream),
                column=name,
                other=other,
            )


def _is_history(table: TableSchema) -> bool:
    return table.control is not None and OP in table.control.names


def _never_null(wanted: TableSchema) -> frozenset[str]:
    """Return the key columns of a mirror: a row without its key can be neither found nor replaced."""
    return frozenset() if _is_history(wanted) else frozenset(wanted.key)


class _Reconciliation:
    """One run of `reconcile`: walks the differences and collects the plan."""

    def __init__(
        self,
        wanted: TableSchema,
        policy: SchemaPolicy,
        stored: Callable[[pa.DataType], pa.DataType],
        working: Working,
        replacing: bool,
    ) -> None:
        self._wanted = wanted
        self._policy = policy
        self._stored = stored
        self._working = working
        self._history = _is_history(wanted)
        self._replacing = replacing and not self._history
        self._left_out: set[str] = set()
        self._nulled: set[str] = set()
        self._rejects_null = set(_never_null(wanted))
        self._added: Mapping[str, AddColumn] = {}
        self._vouched: dict[str, pa.DataType] = {}

    def plan(self, changes: Sequence[Change], drop_columns: bool) -> Plan:
        drop = drop_columns and self._policy.removed_column == "evolve"
        names = {self._working.fold(name) for name in self._wanted.columns.names}
        self._check_loader()
        self._added = Following(
            self._wanted.stream, self._working, names, self._policy, history=self._history, drop=drop
        ).follow(changes)
        self._vouched = {c.name: c.type for c in changes if isinstance(c, WidenColumn) and not c.rewrites}
        for field in list(self._working.columns.values()):
            if self._working.fold(field.name) not in names and not self._is_ours(field.name):
                self._removed(field)
        columns = [kept for field in self._wanted.columns if (kept := self._column(field)) is not None]
        for field in self._wanted.control or ():
            self._control(field)
        table = attrs.evolve(self._wanted, columns=pa.schema(columns, self._wanted.columns.metadata))
        found = (frozenset(names) for names in (self._left_out, self._nulled, self._rejects_null))
        return Plan(table, tuple(self._working.changes), *found)

    def _is_ours(self, name: str) -> bool:
        return self._working.fold(name).startswith(self._working.fold(_PREFIX))

    def _check_loader(self) -> None:
        """Refuse a table that another loader, or another way of deleting, has filled."""
        control = self._wanted.control.names if self._wanted.control is not None else ()
        was_history, was_soft = (self._working.find(name) is not None for name in (OP, DELETED))
        if was_history != self._history or (was_soft and DELETED not in control):
            raise SchemaError(
                "the table was filled by another loader or with other settings",
                "go back to them, or move the table away and reset the pipeline, or set destination.schema",
                stream=str(self._wanted.stream),
                found="a history" if was_history else "soft deletes" if was_soft else "a mirror",
                wanted="a history" if self._history else "a mirror",
            )

    def _removed(self, field: pa.Field) -> None:
        """Decide about a column of the table that rows no longer have."""
        if self._policy.removed_column == "freeze":
            raise self._refused(
                "the schema is frozen and the stream lacks a column of the table",
                "removed_column",
                field.name,
                found=field.type,
            )
        if not field.nullable and self._policy.removed_column == "evolve":
            self._working.widen(WidenColumn(field.name, field.type, nulls=True))
        elif not field.nullable:
            self._rejects_null.add(field.name)

    def _column(self, field: pa.Field) -> pa.Field | None:
        """Return a column as the table will have it; None when it is left out."""
        there = self._working.find(field.name)
        if there is None:
            return self._new(field)
        kept = self._typed(field, there)
        nulls = field.nullable or field.name in self._nulled
        if not nulls or there.nullable or field.name in self._wanted.key:
            return self._changed(there, kept, nulls=False)
        return self._nullable(there, kept)

    def _new(self, field: pa.Field) -> pa.Field | None:
        policy = self._policy.new_column
        if policy == "freeze" or (policy == "discard" and field.name in self._wanted.key):
            raise self._refused(
                "the schema is not to change and the table lacks a column",
                "new_column",
                field.name,
                wanted=field.type,
            )
        if policy == "discard":
            self._left_out.add(field.name)
            return None
        _kept(self._stored, self._wanted, field)
        self._working.add(AddColumn(field.name, field.type, self._default(field)))
        return field.with_nullable(True)

    def _default(self, field: pa.Field) -> Any:
        """Return what stored rows have in a new column; a history's rows are from before it."""
        change = self._added.get(self._working.fold(field.name))
        return change.default if change and change.type == field.type and not self._history else None

    def _typed(self, field: pa.Field, there: pa.Field) -> pa.Field:
        """Return the field with the type that its column will have."""
        wanted = _kept(self._stored, self._wanted, field)
        if wanted == there.type:
            return field
        if holds(wanted, there.type):
            return field.with_type(there.type)
        if self._policy.type_change == "discard" and field.name not in self._wanted.key:
            self._nulled.add(field.name)
            return field.with_type(there.type)
        vouched = self._vouched.get(field.name) == field.type
        if self._policy.type_change != "evolve" or not (
            vouched or self._replacing or widens(there.type, wanted)
        ):
            raise self._retyped(field, there)
        return field

    def _changed(self, there: pa.Field, kept: pa.Field, *, nulls: bool) -> pa.Field:
        """Note what must change about a column that is there."""
        typed = kept.type != there.type and self._stored(kept.type) != there.type
        if typed or nulls:
            rewrites = typed and not widens(there.type, self._stored(kept.type)) and self._replacing
            self._working.widen(WidenColumn(there.name, kept.type, rewrites, nulls))
        return kept

    def _nullable(self, there: pa.Field, kept: pa.Field) -> pa.Field:
        """Decide about nulls that a column of the table does not take."""
        if self._policy.nullability == "freeze":
            raise self._refused(
                "the schema is frozen and a column may now be null",
                "nullability",
                kept.name,
                found="not null",
            )
        if self._policy.nullability == "discard":
            self._rejects_null.add(kept.name)
            return self._changed(there, kept.with_nullable(False), nulls=False)
        return self._changed(there, kept, nulls=True)

    def _control(self, field: pa.Field) -> None:
        """Bring one of our own columns in line; the policy's part is that frozen tables do not change."""
        there = self._working.find(field.name)
        if there is None:
            if self._policy.new_column == "freeze":
                raise self._refused(
                    "the schema is not to change and the table lacks a column", "new_column", field.name
                )
            default = False if field.name == DELETED else None
            self._working.add(AddColumn(field.name, field.type, default))
        elif not holds(kept := self._kept_control(field, there), there.type):
            if self._policy.type_change != "evolve" or not widens(there.type, kept):
                raise self._retyped(field, there)
            self._working.widen(WidenColumn(there.name, field.type))

    def _kept_control(self, field: pa.Field, there: pa.Field) -> pa.DataType:
        """Return as which type one of our columns is kept; where such are refused, in a form of its own."""
        try:
            return self._stored(field.type)
        except SchemaError:
            return there.type

    def _retyped(self, field: pa.Field, there: pa.Field) -> SchemaError:
        message = "a column's type changed, and not to a wider one"
        if self._policy.type_change != "evolve":
            message = "the schema is not to change and a column has another type"
        return self._refused(message, "type_change", field.name, found=there.type, wanted=field.type)

    def _refused(self, message: str, axis: str, column: str, **facts: object) -> SchemaError:
        policy = getattr(self._policy, axis)
        hint = _HINTS[axis] if policy == "evolve" else f"change the table, or set load.schema.{axis}: evolve"
        return SchemaError(message, hint, stream=str(self._wanted.stream), column=column, **facts)


_HINTS = {
    "type_change": "not every value fits the new type: convert the column in the table or in a transform,"
    " or have every row copied again: etl-core state reset FILE, then run",
}
