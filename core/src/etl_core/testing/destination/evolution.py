"""Clauses about columns that come, go and change, under `schema: evolve`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from etl_core.interfaces import Destination
from etl_core.model import AddColumn, Change, DropColumn, RenameColumn, TableSchema, WidenColumn
from etl_core.schema import with_key
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.session import loader_named
from etl_core.testing.script import Row, Script
from etl_core.testing.verdicts import expect, skip

__all__ = ["Evolution"]

_COLUMNS = pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string()), ("n", pa.int32())])


class Evolution(DestinationKit):
    """Columns change while rows come."""

    def test_an_added_column(self) -> None:
        """A new column is there; in a mirror, stored rows have its default in it, in a history null.

        Carry out `AddColumn` with its `default` for the rows that are there.
        """
        more = [pa.field("flag", pa.int64()), pa.field("word", pa.string()), pa.field("none", pa.int64())]
        wider = pa.schema([*_COLUMNS, *more])
        changes = [AddColumn("flag", pa.int64(), 7), AddColumn("word", pa.string(), "it's"), _NONE]
        self._alter(wider, changes, lambda row: {**row, "flag": 1, "word": "new", "none": None})

    def test_a_renamed_column(self) -> None:
        """A renamed column keeps its values under the new name.

        Carry out `RenameColumn`; do not add a column and leave the old one.
        """
        renamed = pa.schema([_COLUMNS.field(0), pa.field("called", pa.string()), _COLUMNS.field(2)])
        self._alter(renamed, [RenameColumn("name", "called")], _renamed)

    def test_a_widened_column(self) -> None:
        """A widened column keeps its values and takes what only the new type holds.

        Carry out `WidenColumn` without touching values.
        """
        wider = pa.schema([*list(_COLUMNS)[:2], pa.field("n", pa.int64())])
        self._alter(wider, [WidenColumn("n", pa.int64())], lambda row: {**row, "n": 2**40})

    def test_a_dropped_column(self) -> None:
        """A column that the source dropped stays, and is null in rows that come after.

        Fill columns of the table that rows lack with null; remove one only on `DropColumn`.
        """
        self._alter(pa.schema(list(_COLUMNS)[:2]), [DropColumn("n")], _without_n, kept="n")

    def test_a_dropped_column_is_removed_on_request(self) -> None:
        """With `drop_columns: true` it is removed.

        Carry out `DropColumn`.
        """
        self._needs_tables()
        name = self.following()[-1]
        script = self._script(name, pa.schema(list(_COLUMNS)[:2]), [DropColumn("n")], _without_n)
        self.run(script, name, drop_columns=True)
        there = {self.probe.fold(column) for column in self.rows(script.stream).column_names}
        expect(self.probe.fold("n") not in there, "a dropped column is still there")

    def test_a_change_that_is_known_is_not_made_again(self) -> None:
        """`ensure` at or below the sequence kept with the table does nothing.

        Keep `table.seq` with the table, in one step with the change, and compare before changing anything.
        """
        self._needs_tables()
        stream, name = self.stream(), self.following()[0]
        first, second, third = (n.to_bytes(20, "big") for n in (1, 2, 3))
        base = loader_named(name).schema(stream, with_key(_COLUMNS, ["id"]))
        with self.session(loader_named(name)) as session:
            destination = session.destination
            destination.ensure(base, ())
            wider = [pa.field("flag", pa.int64()), pa.field("other", pa.int64())]
            destination.ensure(_changed(base, wider[:1], second), [_added("flag")])
            session.flush()
            there = destination.table(stream)
            if there is None or there.seq is None:
                skip("it keeps no sequence with a table")
            expect(there.seq == second, "the sequence kept with a table is another")
            for seq in (first, second):
                destination.ensure(_changed(base, wider, seq), [_added("flag"), _added("other")])
                names = self._names(destination.table(stream))
                expect(self.probe.fold("other") not in names, "a change that is known was made again")
            destination.ensure(_changed(base, wider, third), [_added("other")])
            expect(
                self.probe.fold("other") in self._names(destination.table(stream)), "a change was not made"
            )
            session.flush()

    def _alter(
        self,
        schema: pa.Schema,
        changes: Sequence[Change],
        after: Callable[[Row], Row],
        kept: str | None = None,
    ) -> None:
        self._needs_tables()
        for name in self.following():
            script = self._script(name, schema, changes, after)
            self.run(script, name)
            self._expect_altered(script, name, kept)

    def _expect_altered(self, script: Script, loader: str, kept: str | None) -> None:
        rows = _history(script) if loader == "append" else list(script.mirror().values())
        columns = list(script.schema) + ([] if kept is None else [_COLUMNS.field(kept)])
        self.expect_rows(script.stream, rows, pa.schema(columns), script.key, loader=loader)

    def _script(
        self, name: str, schema: pa.Schema, changes: Sequence[Change], after: Callable[[Row], Row]
    ) -> Script:
        script = Script(self.stream(name), _COLUMNS)
        rows: list[Row] = [{"id": number, "name": f"name {number}", "n": number} for number in (1, 2, 3)]
        script.insert(*rows[:2]).commit()
        script.alter(schema, *changes)
        return script.insert(after(rows[2])).commit()

    def _needs_tables(self) -> None:
        if type(self.probe).table is Destination.table:
            skip("it does not say what tables are there, so that none is changed")

    def _names(self, table: TableSchema | None) -> set[str]:
        return {self.probe.fold(name) for name in table.columns.names} if table else set()


_NONE = AddColumn("none", pa.int64())


def _added(name: str) -> AddColumn:
    return AddColumn(name, pa.int64())


def _changed(table: TableSchema, more: list[pa.Field], seq: bytes) -> TableSchema:
    return TableSchema(table.stream, pa.schema([*table.columns, *more]), table.key, table.control, seq)


def _without_n(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "n"}


def _renamed(row: Row) -> Row:
    return {"id": row["id"], "called": row["name"], "n": row["n"]}


def _history(script: Script) -> list[Row]:
    """Return the rows of a history, those from before a rename under the new name."""
    rows: list[Row] = []
    for entry in script.entries():
        for change in entry.changes:
            if isinstance(change, RenameColumn):
                rows = [{change.new if n == change.old else n: v for n, v in row.items()} for row in rows]
        if entry.op:
            rows.append(dict(entry.values))
    return rows
