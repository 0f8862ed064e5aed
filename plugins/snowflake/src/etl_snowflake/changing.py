"""Schema changes, made one by one to all tables of a stream: landing and staging first, the target last."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs
import pyarrow as pa
from attrs import field, frozen

from etl_core import (
    OP,
    AddColumn,
    Change,
    DropColumn,
    RenameColumn,
    SchemaError,
    WidenColumn,
)
from etl_snowflake import control, sql
from etl_snowflake.client import Session
from etl_snowflake.control import Kept
from etl_snowflake.names import Names, quote
from etl_snowflake.target import Column, find_all
from etl_snowflake.types import converted, digits, from_text, is_semi, kept, sql_type, stored

__all__ = ["Changing", "Identity"]

Place = tuple[str, str]

#: A column on its way to another type.
_RETYPED = "_ETL_RETYPED"


@frozen
class Identity:
    """Who works where: a pipeline, its fence, and its session."""

    session: Session
    names: Names
    pipeline: str
    fence: str


@frozen
class Changing:
    """One change, made to a stream's tables: the target is the last."""

    tables: Identity
    known: Kept
    #: The columns of landing, staging and target, where there are these tables: what is done is noted here.
    _there: dict[Place, dict[str, Column]] = field(init=False)

    @_there.default
    def _look(self) -> dict[Place, dict[str, Column]]:
        ours = self.tables.names.landing_schema
        names = [self.known.landing, *([self.known.staging] if self.known.staging else [])]
        places = [*((ours, name) for name in names), self._target]
        return find_all(self.tables.session, self.tables.names, places)

    @property
    def _target(self) -> Place:
        return self.known.schema, self.known.table

    def apply(self, change: Change) -> Kept:
        match change:
            case AddColumn():
                return self._add(change)
            case RenameColumn():
                return self._rename(change)
            case WidenColumn():
                return self._widen(change)
            case DropColumn():
                return self._drop(change.name)

    def _run(self, place: Place, make: Callable[..., str], *arguments: str) -> None:
        self.tables.session.execute(make(self.tables.names.table(*place), *arguments))

    def _add(self, change: AddColumn) -> Kept:
        """Add a column; rows that are there get its default, in one step with what is kept."""
        known, added = self.known, kept(pa.field(change.name, change.type))
        name, kind = self.tables.names.fold(change.name), sql_type(change.type)
        if change.name not in known.adding:
            room = self._make_room(change.name)
            known = self._saved(attrs.evolve(room, adding=[*room.adding, change.name]))
        for place, found in self._there.items():
            if name not in found:
                self._run(place, sql.add_column, name, kind)
        columns = [each for each in known.columns if self.tables.names.fold(each.name) != name]
        done = attrs.evolve(
            known,
            columns=pa.schema([*columns, added]),
            adding=[each for each in known.adding if each != change.name],
        )
        session, names = self.tables.session, self.tables.names
        with control.transaction(session, names, self.tables.pipeline, self.tables.fence):
            for place in self._there if change.default is not None else ():
                self._fill(place, name, change)
            control.reshape(session, names, self.tables.pipeline, done)
        return done

    def _fill(self, place: Place, name: str, change: AddColumn) -> None:
        value = from_text("?", change.type)
        default = _text(change.default, change.type)
        table = self.tables.names.table(*place)
        self.tables.session.execute(*sql.fill(table, [(name, value)], [default]))

    def _saved(self, known: Kept) -> Kept:
        session, names = self.tables.session, self.tables.names
        with control.transaction(session, names, self.tables.pipeline, self.tables.fence):
            control.reshape(session, names, self.tables.pipeline, known)
        return known

    def _make_room(self, name: str) -> Kept:
        """Remove a column that the source dropped before and now has again, as another one.

        A mirror shows what the source has: its new column. A history keeps what was.
        """
        if self.tables.names.fold(name) not in self._there.get(self._target, {}):
            return self.known
        if OP in self.known.control:
            raise SchemaError(
                "the history still has a dropped column of this name",
                "rename that column in the table, then run again",
                stream=str(self.known.stream),
                column=name,
            )
        return self._drop(name)

    def _drop(self, name: str) -> Kept:
        folded = self.tables.names.fold(name)
        for place, found in self._there.items():
            if folded in found:
                self._run(place, sql.drop_column, folded)
                del found[folded]
        rest = [each for each in self.known.columns if self.tables.names.fold(each.name) != folded]
        return self._saved(attrs.evolve(self.known, columns=pa.schema(rest)))

    def _rename(self, change: RenameColumn) -> Kept:
        fold = self.tables.names.fold
        old, new = fold(change.old), fold(change.new)
        known = self.known if old == new else self._make_room_for(change)
        for place, found in self._there.items():
            if old != new and old in found and new not in found:
                self._run(place, sql.rename_column, old, new)
        columns = [each.with_name(change.new) if fold(each.name) == old else each for each in known.columns]
        return self._saved(attrs.evolve(known, columns=pa.schema(columns)))

    def _make_room_for(self, change: RenameColumn) -> Kept:
        fold = self.tables.names.fold
        there = fold(change.old) in self._there.get(self._target, {})
        return self._make_room(change.new) if there else self.known

    def _widen(self, change: WidenColumn) -> Kept:
        names, wanted = self.tables.names, kept(pa.field(change.name, change.type))
        name = names.fold(change.name)
        places = {place: found.get(name) for place, found in self._there.items()}
        target = places.get(self._target)
        if target is not None and not (change.rewrites or _becomes(target, wanted.type)):
            raise SchemaError(
                "Snowflake cannot make a column's type this one in place",
                "convert the column in the table by hand, or move the table away and reset the pipeline",
                stream=str(self.known.stream),
                column=change.name,
                type=str(change.type),
            )
        for place, column in places.items():
            if column is not None:
                self._retype(place, column, wanted.type, nulls=change.nulls)
        columns = [wanted if names.fold(each.name) == name else each for each in self.known.columns]
        return self._saved(attrs.evolve(self.known, columns=pa.schema(columns)))

    def _retype(self, place: Place, column: Column, type: pa.DataType, *, nulls: bool) -> None:
        if nulls and not column.nullable:
            self._run(place, sql.nullable, column.name)
        if column.holds(type):
            return
        if _becomes(column, type):
            self._run(place, sql.retype, column.name, sql_type(type))
        else:
            self._replace(place, column.name, type)

    def _replace(self, place: Place, name: str, type: pa.DataType) -> None:
        """Put another column in a column's place; values that the new type cannot hold become NULL.

        Only for values that come again, or for a landing table, which is empty.
        """
        table = self.tables.names.table(*place)
        if _RETYPED in self._there[place]:
            self._run(place, sql.drop_column, _RETYPED)
        self._run(place, sql.add_column, _RETYPED, sql_type(type))
        self.tables.session.execute(*sql.fill(table, [(_RETYPED, converted(quote(name), type))], []))
        self._run(place, sql.drop_column, name)
        self._run(place, sql.rename_column, _RETYPED, name)


def _becomes(column: Column, type: pa.DataType) -> bool:
    """Whether a column is of a type, or can be made so: a NUMBER of more digits before the point."""
    found, wanted = column.arrow(), digits(type)
    if column.holds(type) or wanted is None or not pa.types.is_decimal(found):
        return column.holds(type)
    return bool(found.scale == wanted[1] and found.precision <= wanted[0])


def _text(value: Any, type: pa.DataType) -> str:
    """Return a default as text, in the form that `from_text` reads."""
    scalar = pa.scalar(value, stored(type))
    plain = scalar.as_py()
    if isinstance(plain, bytes):
        return plain.hex()
    if isinstance(scalar, pa.ExtensionScalar):  # JSON is text already
        return str(plain)
    if is_semi(type):
        return json.dumps(dict(plain) if pa.types.is_map(scalar.type) else plain, default=str)
    return str(plain).lower() if isinstance(plain, bool) else str(plain)
