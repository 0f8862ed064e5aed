"""What a table holds to which a loader's writes were applied: the rows of the source, or every change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from etl_core.errors import EtlError
from etl_core.model import OP, RESERVED, SEQ, Mode
from etl_core.testing.loader.calls import CUTS, Cut, LoaderKit, Planned, by, gathered, unsequenced, whole
from etl_core.testing.loader.tables import ReferenceTable
from etl_core.testing.script import Row, Script
from etl_core.testing.stories import altered, many, moved, truncated, wandering
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["ResultClauses"]

_STORIES = 6
_MANY_STORIES = 200
_LARGE = 3000
_EPOCH = 1


class ResultClauses(LoaderKit):
    """The clauses that apply writes to a table and compare it with what happened."""

    def test_the_table_tells_what_happened(self) -> None:
        """Writes applied one after the other give the source's rows (a mirror) or every change (a history).

        The facts name the story: `wandering(stream, n)` of `etl_core.testing.stories` tells it again.
        """
        self.need_result()
        for seed in range(_MANY_STORIES if self.thorough else _STORIES):
            self._try(self.story(seed), whole, story=seed)

    def test_cuts_change_nothing(self) -> None:
        """However the rows are cut into batches and chunks, the table ends the same.

        A resumed run cuts otherwise; a batch may have one row, or hold the rows of many transactions.
        """
        self.need_result()
        for name, cut in CUTS.items():
            for seed in range(_MANY_STORIES // 4 if self.thorough else 2):
                self._try(self.story(seed), cut, story=seed, cuts=name)

    def test_moved_keys_and_values_not_sent(self) -> None:
        """Keys that change in chains or circles, and values that were not sent, end where they belong.

        A row that moved takes what was not sent from its old key's row, which goes away in the same step.
        """
        self.need_result()
        self.need_changes()
        for name, cut in {"whole": whole, **CUTS}.items():
            self._try(moved(self.stream), cut, cuts=name)

    def test_a_key_of_two_columns(self) -> None:
        """A key may have several columns, in another order than the table's.

        Compare all of them; take values by name.
        """
        self.need_result()
        self.need_changes()
        if self.key is not None:
            skip("its settings name the key")
        for seed in range(2):
            self._try(wandering(self.stream, seed, composite=True), by(9), story=seed)

    def test_a_truncate(self) -> None:
        """A truncate empties a mirror, leaves a history as it is, and is refused where no change is taken.

        Return `Write(stream, Mode.TRUNCATE, seq=batch.seq)` in its place among the rows.
        """
        self.need_result()
        script = truncated(self.stream)
        if not self.snapshot_only:
            for name, cut in {"whole": whole, **CUTS}.items():
                self._try(script, cut, cuts=name)
            return
        try:
            self.plan(script)
        except EtlError:
            return
        fail("a truncate was taken by a loader that takes snapshots only")

    def test_columns_that_change(self) -> None:
        """After a change of the columns rows go on, with the new ones.

        `schema` is asked again before the next rows: keep nothing of the columns but what it was told last.
        """
        self.need_result()
        self.need_changes()
        for name, cut in {"whole": whole, **CUTS}.items():
            self._try(altered(self.stream), cut, cuts=name)

    def test_a_large_batch(self) -> None:
        """A batch of thousands of rows, in many chunks, is planned as a small one is.

        Work on whole columns; nothing may depend on the number of rows or chunks.
        """
        self.need_result()
        self.need_changes()
        script = many(self.stream, _LARGE * 20 if self.thorough else _LARGE)
        self._try(script, _in_chunks)

    def test_rows_that_were_applied_can_be_skipped(self) -> None:
        """Where a destination skips rows at or below its mark, the rest of a repeated write does the rest.

        Give each folded row the `_etl_seq` of its last change: after a crash what is there comes again.
        """
        self.need_result()
        self.need_merge()
        for seed in range(_STORIES // 2):
            script = self.story(seed)
            first = self.plan(script, by(5))
            again = [one for one in self.plan(script, by(8)) if not _snapshot(one)]
            for mark in [one.highest or b"" for one in first][len(first) // 2 :: 2]:
                table = self.table_of([one for one in first if (one.highest or b"") <= mark])
                table.mark = mark
                self._compare(script, self.table_of(again, table), again, story=seed)

    def test_rows_without_sequences(self) -> None:
        """Where a source has no sequences the table ends the same: rows come in the order of the changes.

        `_etl_seq` is null in every row then: compare places of rows, never sequences.
        """
        self.need_result()
        for name, cut in {"whole": whole, "threes": by(3)}.items():
            for seed in range(_STORIES // 2):
                script = self.story(seed)
                batches = map(unsequenced, gathered(script, cut))
                planned = [*self.planning_of(self.make(), script, batches)]
                self._compare(script, self.table_of(planned), planned, story=seed, cuts=name)

    def _try(self, script: Script, cut: Cut, **facts: object) -> None:
        planned = self.plan(script, cut)
        self._compare(script, self.table_of(planned), planned, **facts)

    def _compare(
        self, script: Script, table: ReferenceTable, planned: Sequence[Planned], **facts: object
    ) -> None:
        expect(not table.refused, "rows cannot be merged: values or keys are missing", rows=table.refused)
        if self.holds == "history":
            _expect_history(script, table, planned, facts)
        else:
            _expect_mirror(script, table, facts)


def _in_chunks(rows: pa.Table) -> Sequence[pa.Table]:
    return [pa.concat_tables([rows.slice(start, 50) for start in range(0, rows.num_rows, 50)])]


def _expect_mirror(script: Script, table: ReferenceTable, facts: dict[str, Any]) -> None:
    wanted = script.mirror()
    live = table.live()
    found = {script.key_of(row): row for row in live}
    expect(len(found) == len(live), "a row is there twice", rows=len(live) - len(found), **facts)
    lost, extra = len(wanted.keys() - found.keys()), len(found.keys() - wanted.keys())
    expect(
        not lost and not extra, "the table has other rows than the source", lost=lost, extra=extra, **facts
    )
    for number, (key, row) in enumerate(wanted.items()):
        for name in script.schema.names:
            same = found[key].get(name) == row.get(name)
            expect(same, "a row has another value than at the source", column=name, row=number, **facts)


def _expect_history(
    script: Script, table: ReferenceTable, planned: Sequence[Planned], facts: dict[str, Any]
) -> None:
    wanted, found = script.history(_EPOCH), table.live()
    expect(len(found) == len(wanted), "other rows than changes", rows=len(found), wanted=len(wanted), **facts)
    told = planned[-1].table.control
    sequenced = any(one.highest for one in planned)
    kept = {name for name in (OP, SEQ) if told is not None and name in told.names} - (
        set() if sequenced else {SEQ}
    )
    if SEQ in kept:  # their order is another clause's matter
        found.sort(key=lambda row: row[SEQ])
    for number, (row, change) in enumerate(zip(found, wanted, strict=True)):
        for name in _compared(change, kept):
            expect(
                row.get(name) == change[name], "a row tells another change", column=name, row=number, **facts
            )


def _compared(change: Row, kept: set[str]) -> list[str]:
    return [name for name in change if name in kept or name not in RESERVED]


def _snapshot(planned: Planned) -> bool:
    """Whether a batch is a part of a snapshot: after it, none of it comes again."""
    return any(write.step is not None or write.mode is Mode.REPLACE for write in planned.writes)
