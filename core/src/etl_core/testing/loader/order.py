"""What a loader's writes hold, and their order: nothing kept back or split, snapshots in their steps."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa

from etl_core.errors import EtlError
from etl_core.interfaces import Loader
from etl_core.model import OLD_KEY, SEQ, Batch, Kind, Mode, Step, Write
from etl_core.schema import with_key
from etl_core.testing.loader.calls import CUTS, LoaderKit, Planned, by, gathered, unsequenced
from etl_core.testing.stories import many
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["OrderClauses"]


class OrderClauses(LoaderKit):
    """The clauses about the sequence of writes."""

    def test_rows_keep_their_order(self) -> None:
        """Rows of a stream are written in the order in which they come.

        Never sort or group rows: order is the only thing that tells which change is the last.
        """
        for script in self.stories():
            last = b""
            for write in _with_rows(self.plan(script, by(7))):
                seqs = _order(write)
                for number, (before, seq) in enumerate(pairwise([last, *seqs])):
                    expect(before < seq, "rows are written in another order", row=number)
                last = max([last, *seqs])

    def test_every_row_is_written_at_once(self) -> None:
        """What a batch holds is in the writes that `plan` returns for it, and nothing else is.

        The engine flushes between two calls: a row that is kept back is lost in a crash.
        """
        self.need_result()
        for script in self.stories():
            for planned in self.plan(script, by(7)):
                if planned.batch.kind is Kind.ROWS:
                    _expect_all(planned)

    def test_rows_of_one_sequence_stay_together(self) -> None:
        """Rows with the same `_etl_seq` are in the same write.

        A destination skips what is not above its mark: the second part of a cut group would be skipped.
        """
        self.need_changes()
        loader, script = self.make(), many(self.stream, 60)
        [rows] = [batch.rows for batch in script.batches(1) if isinstance(batch.rows, pa.RecordBatch)]
        seqs = rows.column(SEQ).to_pylist()
        groups = pa.array([seqs[number // 4 * 4] for number in range(60)], rows.column(SEQ).type)
        place = rows.schema.get_field_index(SEQ)
        rows = rows.slice(0, 60).set_column(place, rows.schema.field(place), groups)
        loader.schema(self.stream, with_key(script.first_schema, script.key))
        seen: set[bytes] = set()
        for write in loader.plan(Batch(Kind.ROWS, self.stream, pa.Table.from_batches([rows]))):
            found = {*write.rows.column(SEQ).to_pylist()} if SEQ in write.rows.column_names else set()
            expect(not found & seen, "rows of one sequence are in several writes")
            seen |= found

    def test_a_write_says_how_far_it_reaches(self) -> None:
        """`write.seq` is the highest of its rows', or the marker's, and never goes back.

        A destination keeps it as its mark: too high loses rows after a crash, too low repeats them.
        """
        for script in self.stories():
            last = b""
            for planned in self.plan(script, by(7)):
                for write in planned.writes:
                    _expect_seq(write, planned)
                    expect(write.seq is None or write.seq >= last, "`seq` goes back")
                    last = write.seq or last
        self._expect_no_seq()

    def _expect_no_seq(self) -> None:
        """Rows of a source that has no sequences make writes without one."""
        loader, script = self.make(), self.story()
        loader.schema(self.stream, with_key(script.first_schema, script.key))
        for batch in map(unsequenced, gathered(script, by(7))):
            seqs = {write.seq for write in loader.plan(batch)}
            expect(seqs <= {None}, "a write has a `seq` that no row has")

    def test_a_snapshot_is_shown_at_its_end(self) -> None:
        """Of a snapshot come `begin`, its rows, and `end`; what comes after it has no step.

        A destination shows the rows together at `end`: every write in between must say that it is a part.
        """
        for cut in CUTS.values():
            inside = False
            for planned in self.plan(self.story(), cut):
                steps = {Kind.SNAPSHOT_BEGIN: Step.BEGIN, Kind.SNAPSHOT_END: Step.END}
                wanted = steps.get(planned.batch.kind, Step.ROWS if inside else None)
                inside = planned.batch.kind is not Kind.SNAPSHOT_END and (wanted is Step.BEGIN or inside)
                expect(planned.writes or wanted is None, "a part of a snapshot makes no write")
                for write in planned.writes:
                    expect(write.step is wanted, "a write has another step", step=write.step, wanted=wanted)
                    bare = write.step in {Step.BEGIN, Step.END} and write.rows is not None
                    expect(not bare, "a write that begins or ends a snapshot has rows")

    def test_a_snapshot_goes_on_after_a_resume(self) -> None:
        """A new instance that is told of an open snapshot takes the rows that come as its rows.

        A resumed run hands it `SNAPSHOT_BEGIN` without a `seq` (or `SNAPSHOT_END`), and discards the writes.
        """
        loader, script = self.make(), self.story()
        loader.schema(self.stream, with_key(script.first_schema, script.key))
        for kind, step in {Kind.SNAPSHOT_BEGIN: Step.ROWS, Kind.SNAPSHOT_END: None}.items():
            [*_] = loader.plan(Batch(kind, self.stream))
            if step is None and self.snapshot_only:
                return
            for write in self._some_rows(loader):
                expect(write.step is step, "after a resume a write has another step", step=write.step)

    def _some_rows(self, loader: Loader) -> list[Write]:
        batches = [one.batch for one in self.plan(self.story(), by(3)) if one.batch.kind is Kind.ROWS]
        return [*loader.plan(batches[0])]

    def test_what_is_no_snapshot_is_refused(self) -> None:
        """One that takes snapshots only says so, with an error of ours, when a change comes.

        Raise ConfigError: what to set is said before data is lost.
        """
        if not self.snapshot_only:
            skip("it takes changes")
        try:
            self.plan(many(self.stream, 3))
        except EtlError:
            return
        fail("a change was taken by a loader that takes snapshots only")


def _with_rows(planned: list[Planned]) -> list[Write]:
    return [write for one in planned for write in one.writes if write.rows is not None]


def _order(write: Write) -> list[bytes]:
    """Return what orders a write's rows: their sequences, or the ids that ascend in a snapshot.

    The rows of a merge are a set, of which only the lowest is compared with what came before.
    """
    assert write.rows is not None
    if SEQ in write.rows.column_names:
        seqs = [*write.rows.column(SEQ).to_pylist()]
        return sorted(seqs) if write.mode is Mode.MERGE else seqs
    return [int(number).to_bytes(20, "big") for number in write.rows.column("id").to_pylist()]


def _expect_seq(write: Write, planned: Planned) -> None:
    if write.rows is None:
        expect(write.seq == planned.batch.seq, "a write does not have its marker's `seq`")
    elif SEQ in write.rows.column_names:
        highest = max(write.rows.column(SEQ).to_pylist(), default=None)
        expect(write.seq == highest, "`seq` is not the highest of the rows")
    else:
        expect(write is not planned.writes[-1] or write.seq == planned.highest, "`seq` is not the highest")


def _expect_all(planned: Planned) -> None:
    rows, table = planned.batch.rows, planned.table
    assert isinstance(rows, pa.Table)
    written = [write.rows for write in planned.writes if write.rows is not None]
    if all(write.mode is not Mode.MERGE for write in planned.writes):
        count = sum(part.num_rows for part in written)
        expect(count == rows.num_rows, "other rows are written than came", rows=count, wanted=rows.num_rows)
        return
    wanted, found = _touched(rows, table.key), set[tuple[object, ...]]()
    for part in written:
        found |= _touched(part, table.key)
    expect(not wanted - found, "keys of a batch are in none of its writes", keys=len(wanted - found))
    expect(not found - wanted, "a write is about keys that no row is about", keys=len(found - wanted))
    reached = max((seq for part in written for seq in part.column(SEQ).to_pylist()), default=None)
    expect(reached == planned.highest, "the last change of a batch is in none of its writes")


def _touched(rows: pa.Table, key: tuple[str, ...]) -> set[tuple[object, ...]]:
    """Return the keys that rows are about, old ones included."""
    found: set[tuple[object, ...]] = set()
    for row in rows.select([*key, OLD_KEY]).to_pylist():
        found.add(tuple(row[name] for name in key))
        if row[OLD_KEY]:
            found.add(tuple(row[OLD_KEY][name] for name in key))
    return found
