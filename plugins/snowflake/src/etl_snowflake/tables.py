"""Tables made and changed: `table` and `ensure`.

DDL commits by itself, so that each step can be made again after a crash: landing and staging tables first,
the target last, then what is kept with it. A column whose default is not in the stored rows yet is not shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
import pyarrow as pa
from attrs import frozen

from etl_core import (
    OP,
    AddColumn,
    Change,
    DropColumn,
    RenameColumn,
    SchemaError,
    Stream,
    TableSchema,
    WidenColumn,
)
from etl_snowflake import control, sql
from etl_snowflake.client import Session
from etl_snowflake.control import Kept
from etl_snowflake.names import Names, quote
from etl_snowflake.target import (
    Column,
    find,
    is_history,
    landing_columns,
    schema_of,
)
from etl_snowflake.types import converted, digits, from_text, is_semi, kept, sql_type, stored

__all__ = ["Tables"]

#: A column on its way to another type.
_RETYPED = "_ETL_RETYPED"


@frozen
class Tables:
    """The tables of a pipeline."""

    session: Session
    names: Names
    pipeline: str
    fence: str

    def table(self, stream: Stream, known: Kept | None) -> TableSchema | None:
        """Return the table that is there, also one that others made; `known` is what is kept with it."""
        found = find(self.session, self.names, *self.names.place(stream))
        if not found:
            return None
        for name in known.adding if known else ():
            found.pop(self.names.fold(name), None)
        columns = schema_of(self.names, known, found)
        ours = set(known.control) if known else set()
        return TableSchema(
            stream,
            pa.schema([field for field in columns if field.name not in ours]),
            known.key if known else (),
            pa.schema([field for field in columns if field.name in ours]),
            bytes.fromhex(known.seq) if known and known.seq else None,
        )

    def adopt(self, table: TableSchema, known: Kept | None) -> Kept:
        """Return what is kept with a table that is there and fits as it is; it gets its landing table."""
        known = known or control.add(self.session, self.names, self.pipeline, self.fence, table.stream)
        return self._keep(table, known)

    def ensure(self, table: TableSchema, changes: Sequence[Change], known: Kept | None) -> Kept:
        """Create the table, or apply the changes, also to landing and staging; return what is now kept.

        No rows may be on their way into any of them. Raises SchemaError for a change Snowflake cannot make.
        """
        self._check(table)
        seq = table.seq.hex() if table.seq else None
        if changes and seq and known and known.seq and seq <= known.seq:
            return known
        with self.session.transaction():
            control.require(self.session, self.names, self.pipeline, self.fence)
        known = known or control.add(self.session, self.names, self.pipeline, self.fence, table.stream)
        if not find(self.session, self.names, known.schema, known.table):
            self._create(table, known)
        for change in changes:
            known = _Changing(self, known).apply(change)
        return self._keep(table, attrs.evolve(known, seq=seq or known.seq))

    def _check(self, table: TableSchema) -> None:
        """Refuse what cannot be, before anything is made."""
        wanted = [kept(field) for field in (*table.columns, *(table.control or ()))]
        quoted = {self.names.column(field.name) for field in wanted}
        if len(quoted) < len(wanted):
            raise SchemaError(
                "two columns have names that are the same in Snowflake",
                "rename one, or set identifiers: exact",
                stream=str(table.stream),
            )

    def _create(self, table: TableSchema, known: Kept) -> None:
        if not self.session.execute(*control.schema_there(self.names, known.schema)):
            self.session.execute(control.create_schema(self.names, known.schema))
        wanted = {
            self.names.fold(field.name): sql_type(field.type)
            for field in (*table.columns, *(table.control or ()))
        }
        self.session.execute(sql.create_table(known.target(self.names), wanted))

    def _keep(self, table: TableSchema, known: Kept) -> Kept:
        """Keep what is there now with the table, and bring its landing table in line."""
        wanted = [kept(field) for field in (*table.columns, *(table.control or ()))]
        types = {self.names.fold(field.name): field for field in [*known.columns, *wanted]}
        found = find(self.session, self.names, known.schema, known.table)
        columns = [
            types[column.name].with_nullable(column.nullable)
            if column.name in types and column.holds(types[column.name].type)
            else pa.field(types[column.name].name, column.arrow(), column.nullable)
            for column in found.values()
            if column.name in types
        ]
        known = attrs.evolve(
            known,
            key=table.key,
            columns=pa.schema(columns),
            control=table.control.names if table.control is not None else known.control,
            adding=(),
        )
        self._land(table, known)
        with self.session.transaction():
            control.require(self.session, self.names, self.pipeline, self.fence)
            control.reshape(self.session, self.names, self.pipeline, known)
        return known

    def _land(self, table: TableSchema, known: Kept) -> None:
        """Create the landing table of a mirror that takes changes, or add the columns that it lacks."""
        if table.control is None or is_history(table):
            return
        landing = self.names.ours(known.landing)
        wanted = landing_columns(self.names, known)
        found = find(self.session, self.names, self.names.landing_schema, known.landing)
        if not found:
            self.session.execute(sql.create_table(landing, wanted))
            return
        for name, kind in wanted.items():
            if name not in found:
                self.session.execute(sql.add_column(landing, name, kind))


@frozen
class _Changing:
    """One change, made to a stream's tables: the target is the last."""

    tables: Tables
    known: Kept

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

    def _places(self) -> list[tuple[str, str]]:
        """Return schema and name of the tables that there are: landing, staging, target."""
        ours = self.tables.names.landing_schema
        names = [self.known.landing, *([self.known.staging] if self.known.staging else [])]
        places = [(ours, name) for name in names] + [(self.known.schema, self.known.table)]
        return [place for place in places if self._found(place)]

    def _found(self, place: tuple[str, str]) -> dict[str, Any]:
        return dict(find(self.tables.session, self.tables.names, *place))

    def _run(self, place: tuple[str, str], make: Any, *arguments: str) -> None:
        self.tables.session.execute(make(self.tables.names.table(*place), *arguments))

    def _add(self, change: AddColumn) -> Kept:
        """Add a column; rows that are there get its default, in one step with what is kept."""
        known, added = self.known, kept(pa.field(change.name, change.type))
        name, kind = self.tables.names.fold(change.name), sql_type(change.type)
        if change.name not in known.adding:
            room = self._make_room(change.name)
            known = self._saved(attrs.evolve(room, adding=[*room.adding, change.name]))
        for place in self._places():
            if name not in self._found(place):
                self._run(place, sql.add_column, name, kind)
        columns = [field for field in known.columns if self.tables.names.fold(field.name) != name]
        done = attrs.evolve(
            known,
            columns=pa.schema([*columns, added]),
            adding=[each for each in known.adding if each != change.name],
        )
        session, names = self.tables.session, self.tables.names
        with session.transaction():
            control.require(session, names, self.tables.pipeline, self.tables.fence)
            for place in self._places() if change.default is not None else ():
                self._fill(place, name, change)
            control.reshape(session, names, self.tables.pipeline, done)
        return done

    def _fill(self, place: tuple[str, str], name: str, change: AddColumn) -> None:
        value = from_text("?", change.type)
        default = _text(change.default, change.type)
        table = self.tables.names.table(*place)
        self.tables.session.execute(*sql.fill(table, [(name, value)], [default]))

    def _saved(self, known: Kept) -> Kept:
        session, names = self.tables.session, self.tables.names
        with session.transaction():
            control.require(session, names, self.tables.pipeline, self.tables.fence)
            control.reshape(session, names, self.tables.pipeline, known)
        return known

    def _make_room(self, name: str) -> Kept:
        """Remove a column that the source dropped before and now has again, as another one.

        A mirror shows what the source has: its new column. A history keeps what was.
        """
        place = (self.known.schema, self.known.table)
        if self.tables.names.fold(name) not in self._found(place):
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
        for place in self._places():
            if folded in self._found(place):
                self._run(place, sql.drop_column, folded)
        rest = [field for field in self.known.columns if self.tables.names.fold(field.name) != folded]
        return self._saved(attrs.evolve(self.known, columns=pa.schema(rest)))

    def _rename(self, change: RenameColumn) -> Kept:
        fold = self.tables.names.fold
        old, new = fold(change.old), fold(change.new)
        known = self.known if old == new else self._make_room_for(change)
        for place in self._places():
            found = self._found(place)
            if old != new and old in found and new not in found:
                self._run(place, sql.rename_column, old, new)
        columns = [
            field.with_name(change.new) if fold(field.name) == old else field for field in known.columns
        ]
        return self._saved(attrs.evolve(known, columns=pa.schema(columns)))

    def _make_room_for(self, change: RenameColumn) -> Kept:
        fold = self.tables.names.fold
        there = fold(change.old) in self._found((self.known.schema, self.known.table))
        return self._make_room(change.new) if there else self.known

    def _widen(self, change: WidenColumn) -> Kept:
        names, wanted = self.tables.names, kept(pa.field(change.name, change.type))
        name = names.fold(change.name)
        places = {place: self._found(place).get(name) for place in self._places()}
        target = places.get((self.known.schema, self.known.table))
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
        columns = [wanted if names.fold(field.name) == name else field for field in self.known.columns]
        return self._saved(attrs.evolve(self.known, columns=pa.schema(columns)))

    def _retype(self, place: tuple[str, str], column: Column, type: pa.DataType, *, nulls: bool) -> None:
        if nulls and not column.nullable:
            self._run(place, sql.nullable, column.name)
        if column.holds(type):
            return
        if _becomes(column, type):
            self._run(place, sql.retype, column.name, sql_type(type))
        else:
            self._replace(place, column.name, type)

    def _replace(self, place: tuple[str, str], name: str, type: pa.DataType) -> None:
        """Put another column in a column's place; values that the new type cannot hold become NULL.

        Only for values that come again, or for a landing table, which is empty.
        """
        table = self.tables.names.table(*place)
        if _RETYPED in self._found(place):
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
