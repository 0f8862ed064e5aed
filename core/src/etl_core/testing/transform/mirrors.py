"""A transform in front of a mirror: updates, deletes and key changes end where the transformed rows are."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa

from etl_core.config import CommitPolicy, Duration, LoadSettings
from etl_core.connectors import TransformStep
from etl_core.engine.pipeline import Pipeline
from etl_core.loaders.upsert import Upsert
from etl_core.model import TableSchema, Write
from etl_core.testing.journal import Journal, entries
from etl_core.testing.loader.tables import ReferenceTable
from etl_core.testing.script import Row, Script, ScriptedSource
from etl_core.testing.transform.calls import TransformKit, Use
from etl_core.testing.verdicts import expect, skip

__all__ = ["MirrorClauses"]


class MirrorClauses(TransformKit):
    """The clauses about what `upsert` makes of its rows."""

    def test_a_mirror_follows(self) -> None:
        """Under `upsert` the table ends with the transform of the source's rows, and nothing else.

        What becomes of a row may depend on that row alone; a row that is left out now may be there already.
        """
        if self.per_batch or self.fans_out or not self.keys:
            skip("it is for histories" if self.fans_out else "a mirror needs a key and rows by themselves")
        with self.opened() as use:
            script = self._story(use)
            wanted = self._transformed(use, list(script.mirror().values()))
        self._run(script)
        found = self._table(use, script)
        lost, extra = len(wanted.keys() - found.keys()), len(found.keys() - wanted.keys())
        expect(not lost and not extra, "a mirror behind it has other rows", lost=lost, extra=extra)
        for number, (key, row) in enumerate(wanted.items()):
            for name, text in row.items():
                expect(found[key].get(name) == text, "a mirror has another value", column=name, row=number)

    def _story(self, use: Use) -> Script:
        """Insert, update twice, delete, and give the keys of deleted rows to others; none is rejected."""
        rows = self._distinct(use)
        script = Script(self.stream, self.sample().schema, self.keys)
        half = len(rows) * 2 // 3
        script.insert(*rows[:half]).commit()
        for row, other in pairwise(rows[:half]):
            script.update(row).update({**other, **self._key(row)})
        for gone, moved in zip(rows[: half // 2 : 3], rows[half // 2 : half], strict=False):
            script.delete(self._key(gone)).update({**moved, **self._key(gone)}, old_key=self._key(moved))
        script.commit().insert(*rows[half:]).commit()
        told = use.apply(self._batch([dict(entry.values) for entry in script.entries() if entry.op != "d"]))
        if told.rejected:
            skip("it rejects some of the rows with values exchanged")
        return script

    def _distinct(self, use: Use) -> list[Row]:
        """Return the rows that have a key of their own and are not rejected."""
        sample = self.sample()
        rejected = use.apply(sample).rejected
        rows = {
            repr(self._key(row)): row
            for number, row in enumerate(sample.to_pylist())
            if number not in rejected and None not in self._key(row).values()
        }
        return list(rows.values())

    def _transformed(self, use: Use, rows: list[Row]) -> dict[str, dict[str, str]]:
        return self._by_key(use.apply(self._batch(rows)).rows.to_pylist())

    def _run(self, script: Script) -> None:
        Pipeline(
            self.namespace,
            ScriptedSource(script, cut=3),
            Journal(self.directory / "mirror"),
            loader=Upsert(),
            transforms=[TransformStep("transform", self.make())],
            load=LoadSettings(commit=CommitPolicy(max_wait=Duration(0.0))),
        ).run()

    def _table(self, use: Use, script: Script) -> dict[str, dict[str, str]]:
        """Apply what is durable to a table in memory."""
        reference, columns = ReferenceTable(), use.schema(self._batch([]))
        for entry in entries(self.directory / "mirror"):
            write = Write(entry.stream, entry.mode, entry.rows, entry.step, entry.seq)
            reference.apply(write, TableSchema(script.stream, columns, self.keys))
        expect(not reference.refused, "rows cannot be merged: values or keys are missing")
        return self._by_key(reference.live())

    def _by_key(self, rows: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
        """Return rows as they print, by their key as it prints."""
        return {
            repr(self._key(row)): {
                name: repr(value) for name, value in row.items() if name not in self.varies
            }
            for row in rows
        }

    def _key(self, row: Row) -> Row:
        return {name: row[name] for name in self.keys}

    def _batch(self, rows: list[Row]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(rows, schema=self.sample().schema)
