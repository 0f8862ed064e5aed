"""Tables made and changed: `table` and `ensure`.

DDL commits by itself, so that each step can be made again after a crash: landing and staging tables first,
the target last, then what is kept with it. A column whose default is not in the stored rows yet is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pyarrow as pa
from attrs import frozen

from etl_core import (
    OP,
    Change,
    SchemaError,
    Stream,
    TableSchema,
)
from etl_snowflake import control, sql
from etl_snowflake.changing import Changing, Identity
from etl_snowflake.control import Kept
from etl_snowflake.target import (
    find,
    is_history,
    landing_columns,
    schema_of,
)
from etl_snowflake.types import kept, sql_type

__all__ = ["Tables"]


@frozen
class Tables(Identity):
    """The tables of a pipeline."""

    def table(self, stream: Stream, known: Kept | None) -> TableSchema | None:
        """Return the table that is there, also one that others made; `known` is what is kept with it."""
        found = find(self.session, self.names, *self.names.place(stream))
        if not found:
            return None
        if known is None and self.names.fold(OP) in found:
            control.require_alone(self.session, self.names, self.pipeline, stream)
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
        return self._keep(table, known or self._add(table))

    def _add(self, table: TableSchema) -> Kept:
        who = self.session, self.names, self.pipeline, self.fence
        return control.add(*who, table.stream, alone=is_history(table))

    def ensure(self, table: TableSchema, changes: Sequence[Change], known: Kept | None) -> Kept:
        """Create the table, or apply the changes, also to landing and staging; return what is now kept.

        No rows may be on their way into any of them. Raises SchemaError for a change Snowflake cannot make.
        """
        self._check(table)
        seq = table.seq.hex() if table.seq else None
        if changes and seq and known and known.seq and seq <= known.seq:
            return known
        control.require(self.session, self.names, self.pipeline, self.fence)
        known = known or self._add(table)
        if not find(self.session, self.names, known.schema, known.table):
            self._create(table, known)
        for change in changes:
            known = Changing(self, known).apply(change)
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
        with control.transaction(self.session, self.names, self.pipeline, self.fence):
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
            self.session.execute(sql.create_passing(landing, wanted))
            return
        for name, kind in wanted.items():
            if name not in found:
                self.session.execute(sql.add_column(landing, name, kind))
