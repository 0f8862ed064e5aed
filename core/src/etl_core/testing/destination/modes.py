"""Clauses about what each mode makes of changes, against an oracle in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from decimal import Decimal
from itertools import cycle

import pyarrow as pa

from etl_core.model import COMMIT_TS, DELETED, SEQ, Rejected
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.session import loader_named
from etl_core.testing.destination.stories import long_story, random_story, row, short_story
from etl_core.testing.script import Row, Script
from etl_core.testing.verdicts import expect

__all__ = ["Modes"]


class Modes(DestinationKit):
    """Histories, mirrors and replacements."""

    #: Where the random changes begin; a failure says which one it was.
    seeds: Sequence[int] = (1, 2)

    def test_a_history_has_every_change(self) -> None:
        """Under `append` every change is a row, with its reserved columns; markers of truncation are none.

        Add the rows of each write as they come; where it is at-least-once, keep `_etl_seq` to tell repeated
        ones by.
        """
        self.needs_loader("append")
        self._tell_all("append", short_story(self.stream("short"), self.columns))
        self._tell_all("append", long_story(self.stream("long"), self.columns))

    def test_a_random_history_has_every_change(self) -> None:
        """The same holds for changes drawn at random.

        The seed in the message draws the same changes again: `random_story(stream, seed)`.
        """
        self.needs_loader("append")
        for seed in self.seeds:
            script = random_story(self.stream(f"random_{seed}"), seed, columns=self.columns)
            self._tell_in_parts(script, "append", seed, 1000)

    def test_a_mirror_follows_changes(self) -> None:
        """Under `upsert` the table holds the source's rows: inserted, updated, deleted, inserted again.

        Apply each MERGE as a set: read the base rows of all keys and old keys, remove them, put the rows.
        """
        self.needs_loader("upsert")
        self._tell_all("upsert", short_story(self.stream("short"), self.columns))
        self._tell_all("upsert", long_story(self.stream("long"), self.columns))

    def test_a_key_change_moves_its_row(self) -> None:
        """A row whose key changed is found under the new key only, also in chains and when two change places.

        Where `_etl_old_key` is set, remove that key's row too; take all base rows before removing any.
        """
        self.needs_loader("upsert")
        script = Script(self.stream(), self.columns)
        script.insert(row(1), row(2), row(3), row(4)).commit()
        script.update(row(10), old_key={"id": 1}).commit()
        script.update(row(11), old_key={"id": 10}).update(row(12), old_key={"id": 11}).commit()
        script.update(row(99), old_key={"id": 2}).update(row(2), old_key={"id": 3})
        script.update(row(3), old_key={"id": 99}).commit()
        script.delete({"id": 4}).update(row(4), old_key={"id": 12}).commit()
        self._tell_all("upsert", script)

    def test_what_was_not_sent_stays(self) -> None:
        """Columns named in `_etl_unchanged` keep the value they have, with a key change that of the old row.

        Take them from the base row of `_etl_old_key` where it is set, else of the key; never write NULL.
        """
        self.needs_loader("upsert")
        script = Script(self.stream(), self.columns)
        script.insert(row(1, "a", "long"), row(2, "b", "longer"), row(3, None, None)).commit()
        script.update({**self._sent(1), "name": "c"}, unchanged=["note"])
        script.update({"id": 2}, unchanged=[name for name in self.columns.names if name != "id"]).commit()
        script.update({**self._sent(5), "name": "d"}, unchanged=["note"], old_key={"id": 1})
        script.update({**self._sent(3), "name": "e"}, unchanged=["note"]).commit()
        script.update(self._sent(6), unchanged=["note"], old_key={"id": 5})
        script.update({**self._sent(2), "name": None}, unchanged=["note"]).commit()
        self._tell_all("upsert", script)

    def test_a_truncate_empties_a_mirror(self) -> None:
        """TRUNCATE removes every row; what comes after it stays.

        Carry it out in its place among the writes, in the same transaction.
        """
        self.needs_loader("upsert")
        script = Script(self.stream(), self.columns)
        script.insert(row(1), row(2)).commit()
        script.truncate().insert(row(3)).commit().insert(row(1, "again")).commit()
        self._tell_all("upsert", script)
        script.truncate().commit()
        self._tell(script, "upsert", None)

    def test_keys_of_several_columns(self) -> None:
        """Rows are told apart by all columns of the key, each by its name, whatever their order.

        Compare the columns of `table.key` by name; their order in rows and in `_etl_old_key` may differ.
        """
        self.needs_loader("upsert")
        schema = pa.schema([("b", pa.int64()), ("value", pa.string()), ("a", pa.int64())])
        script = Script(self.stream(), schema, ("a", "b"))
        script.insert(*(_pair(a, b, "first") for a in range(3) for b in range(3))).commit()
        script.update(_pair(1, 2, "second")).delete({"a": 2, "b": 1}).commit()
        script.update(_pair(5, 0, "moved"), old_key={"a": 0, "b": 1}).commit()
        script.update({"a": 7, "b": 1}, unchanged=["value"], old_key={"a": 1, "b": 2}).commit()
        self._tell_all("upsert", script)

    def test_a_random_mirror_follows_changes(self) -> None:
        """The same holds for changes drawn at random: moves, partial rows, truncates, in any order.

        The seed in the message draws the same changes again: `random_story(stream, seed)`.
        """
        self.needs_loader("upsert")
        for seed, max_rows in zip(self.seeds, cycle((3, 1000))):
            script = random_story(self.stream(f"random_{seed}"), seed, columns=self.columns)
            self._tell_in_parts(script, "upsert", seed, max_rows)

    def test_a_partial_row_without_its_base_is_rejected(self) -> None:
        """A row with unchanged columns whose base row is not there is rejected, not filled with NULL.

        Return it from `write` as `Rejected`, and write the other rows.
        """
        self.needs_loader("upsert")
        script = Script(self.stream(), self.columns)
        script.insert(row(1)).update(self._sent(2), unchanged=["note"])
        script.update(self._sent(3), unchanged=["note"], old_key={"id": 9}).commit()
        with self.session(loader_named("upsert")) as session:
            refused: list[Rejected] = session.tell(script)
            refused += session.destination.flush(session.position()) or ()
        ids = sorted(n for each in refused for n in each.rows.column("id").to_pylist())
        self.expect_rows(self.stream(), [row(1)], self.columns, script.key)
        expect(ids == [2, 3], "partial rows without a base row were not rejected", rejected=len(ids))

    def test_soft_deletes_and_metadata(self) -> None:
        """With `delete: soft` a deleted row stays, marked; `metadata` keeps its last change's sequence.

        In a table with `_etl_deleted` a `d` keeps the base row's values and takes the control columns' from
        its own row.
        """
        self.needs_loader("upsert")
        script = Script(self.stream(), self.columns)
        script.insert(row(1), row(2), row(3)).commit()
        script.delete({"id": 1}, {"id": 2}).commit().insert(row(2, "back")).commit()
        self.run(script, "upsert soft")
        wanted = [{**row(1), DELETED: True}, {**row(2, "back"), DELETED: False}, {**row(3), DELETED: False}]
        schema = self.columns.append(pa.field(DELETED, pa.bool_()))
        self.expect_rows(self.stream(), wanted, schema, script.key)
        there = {self.probe.fold(name) for name in self.rows(self.stream()).column_names}
        lacking = [name for name in (SEQ, COMMIT_TS) if self.probe.fold(name) not in there]
        expect(not lacking, "columns of the metadata are missing", columns=", ".join(lacking))

    def test_a_replacement_is_the_snapshot(self) -> None:
        """Under `replace` the table is the last snapshot and nothing else.

        Put the staged rows in the place of the table's at END, in one step.
        """
        self.needs_loader("replace")
        stream = self.stream()
        for rows, parts in (([row(1), row(2), row(3)], 2), ([row(2, "new"), row(9)], 1), ([], 1)):
            script = Script(stream, self.columns).snapshot(rows, parts)
            self.run(script, "replace")
            self.expect_rows(stream, rows, self.columns, script.key, snapshot_of=len(rows))

    def _tell_all(self, loader: str, script: Script) -> None:
        """Tell a script in writes of many changes, then of one, each into a table of its own."""
        self._tell(script, loader, None)
        small = copy(script)
        small.stream = self.stream(script.stream.name + "_small")
        self._tell(small, loader, None, 1)

    def _tell_in_parts(self, script: Script, loader: str, seed: int, max_rows: int) -> None:
        """Look at what is there several times: a truncate would hide what went wrong before it."""
        ends = len(script.transactions)
        for upto in (ends // 4, ends // 2, ends * 3 // 4, ends):
            part = copy(script)
            part.transactions = script.transactions[:upto]
            self._tell(part, loader, seed, max_rows)

    def _tell(self, script: Script, loader: str, seed: int | None, max_rows: int = 65536) -> None:
        facts = {} if seed is None else {"seed": seed}
        self.run(script, loader, max_rows=max_rows)
        self.expect_outcome(script, loader, rows_per_write=max_rows, **facts)

    def _sent(self, id: int) -> Row:
        """Return a row of all columns but the one that is not sent."""
        values = {"id": id, "name": "sent", "amount": Decimal(id) / 4}
        return {name: value for name, value in values.items() if name in self.columns.names}


def _pair(a: int, b: int, value: str) -> Row:
    return {"a": a, "b": b, "value": value}
