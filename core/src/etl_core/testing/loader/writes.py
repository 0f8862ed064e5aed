"""The form of a loader's tables and writes: modes, columns, keys."""

from __future__ import annotations

from collections.abc import Iterator

from etl_core.errors import ConfigError
from etl_core.model import Mode, TableSchema, Write
from etl_core.schema import reserved_schema, with_key
from etl_core.testing.loader.calls import LoaderKit, Planned, by
from etl_core.testing.script import COLUMNS
from etl_core.testing.stories import wandering
from etl_core.testing.verdicts import expect

__all__ = ["WriteClauses"]


class WriteClauses(LoaderKit):
    """The clauses about tables and single writes."""

    def test_it_says_which_modes_it_needs(self) -> None:
        """It writes in the modes of `needs`, and in no other.

        The engine compares `needs` with the destination's `modes` before the start: name every mode there.
        """
        needs = self.needs
        modes = isinstance(needs, frozenset) and needs and all(isinstance(mode, Mode) for mode in needs)
        expect(modes, "`needs` must be a frozenset of modes, with one at least")
        for write in self._writes():
            expect(
                write.mode in needs, "a write has a mode that `needs` does not name", mode=write.mode.value
            )
            expect(write.stream == self.stream, "a write goes to another stream")

    def test_its_table_is_well_formed(self) -> None:
        """`schema` gives the same table each time: unlike column names, control columns named `_etl_`.

        It is asked before the first batch and after each change of the columns; answer from its arguments.
        """
        loader, schema = self.make(), with_key(COLUMNS, ["id"])
        table = loader.schema(self.stream, schema)
        expect(isinstance(table, TableSchema), "`schema` must return a TableSchema")
        expect(table == loader.schema(self.stream, schema), "asked again, `schema` answers otherwise")
        expect(table.stream == self.stream, "the table is another stream's")
        control = [] if table.control is None else table.control.names
        names = [*table.columns.names, *control]
        expect(len(names) == len(set(names)), "two columns of the table have one name")
        foreign = [name for name in control if not name.startswith("_etl_")]
        expect(not foreign, "a control column has a name of the source's", columns=", ".join(foreign))
        mixed = [name for name in table.columns.names if name.startswith("_etl_")]
        expect(not mixed, "a control column is among the source's columns", columns=", ".join(mixed))
        lost = [name for name in table.key if name not in table.columns.names]
        expect(not lost, "a key column is not in the table", columns=", ".join(lost))

    def test_the_key_is_the_sources(self) -> None:
        """The table's key has the source's key columns, in the source's order.

        Take `etl_core.schema.key_of(schema)`; where settings name another key, set `key` on the kit.
        """
        self.need_merge()
        script = wandering(self.stream, 0, composite=True)
        wanted = self.key or script.key
        table = self.make().schema(self.stream, with_key(script.first_schema, script.key))
        expect(table.key == wanted, "the key is another", found=table.key, wanted=wanted)

    def test_a_stream_without_a_key(self) -> None:
        """A stream without a key is refused with ConfigError where rows are merged, and taken elsewhere.

        Raise ConfigError in `schema`: `check` shows it before anything runs.
        """
        merging = Mode.MERGE in self.needs and self.key is None
        try:
            self.make().schema(self.stream, COLUMNS)
        except ConfigError:
            expect(merging, "a stream without a key is refused, though nothing is merged")
            return
        expect(not merging, "a stream without a key was accepted, and nothing can be merged in it")

    def test_writes_have_the_tables_columns(self) -> None:
        """Rows have the table's columns and control columns; under MERGE also the reserved ones.

        Add what `schema` promised as control columns, and drop the other reserved columns unless you merge.
        """
        for planned in self._planned():
            for write in planned.writes:
                if write.rows is not None:
                    _expect_columns(write, planned.table)

    def test_one_row_per_key(self) -> None:
        """A MERGE has at most one row per key.

        It is applied as a set: fold the changes of a key to one row, or make several writes.
        """
        self.need_merge()
        for script in [*self.stories(), wandering(self.stream, 5, composite=True)]:
            for planned in self.plan(script):
                for write in planned.writes:
                    if write.rows is not None and write.mode is Mode.MERGE:
                        keys = [
                            tuple(row.values()) for row in write.rows.select(planned.table.key).to_pylist()
                        ]
                        expect(len(keys) == len(set(keys)), "two rows of a write have the same key")

    def _planned(self) -> Iterator[Planned]:
        for script in self.stories():
            yield from self.plan(script, by(7))

    def _writes(self) -> Iterator[Write]:
        for planned in self._planned():
            yield from planned.writes


def _expect_columns(write: Write, table: TableSchema) -> None:
    assert write.rows is not None
    wanted = {one.name: one.type for one in [*table.columns, *(table.control or ())]}
    if write.mode is Mode.MERGE:
        wanted |= {one.name: one.type for one in reserved_schema(table.columns, table.key)}
    found = {one.name: one.type for one in write.rows.schema}
    missing = ", ".join(sorted(wanted.keys() - found.keys()))
    expect(not missing, "rows lack columns of the table", columns=missing, mode=write.mode.value)
    extra = ", ".join(sorted(found.keys() - wanted.keys()))
    expect(not extra, "rows have columns that are not in the table", columns=extra, mode=write.mode.value)
    other = ", ".join(sorted(name for name in found if found[name] != wanted[name]))
    expect(not other, "columns have another type than in the table", columns=other, mode=write.mode.value)
