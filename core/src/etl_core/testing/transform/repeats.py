"""That a transform's result depends on the rows alone: not on cuts, on what came before, or on its age."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from etl_core.model import Stream
from etl_core.testing.transform.calls import Line, TransformKit, expect_same, reversed_rows
from etl_core.testing.verdicts import expect, skip

__all__ = ["RepeatClauses"]


class RepeatClauses(TransformKit):
    """The clauses that compare answers with each other."""

    def test_cuts_change_nothing(self) -> None:
        """However rows are cut into batches, the same rows come out.

        A resumed run cuts otherwise than before. Where a batch is the unit, set `per_batch` on the kit.
        """
        if self.per_batch:
            skip("it works on whole batches")
        rows = self.sample()
        whole = self._lines_of([rows])
        for name, pieces in _cuts(rows):
            expect_same(self._lines_of(pieces), whole, "other cuts give other rows", cut=name)

    def test_the_same_again_gives_the_same(self) -> None:
        """The same batch gives the same rows again, in this instance and in a new one.

        After a crash rows come again: keep nothing from batch to batch, and take no random numbers or times
        (columns that vary by nature go into `varies` on the kit).
        """
        rows = self.sample()
        with self.opened() as use:
            first, again = (self.lines(use.apply(rows)) for _ in "12")
        expect_same(again, first, "the same batch gives other rows when it comes again")
        with self.opened() as use:
            use.apply(reversed_rows(rows))
            anew = self.lines(use.apply(rows))
        expect_same(anew, first, "another instance makes other rows of the same batch")

    def test_it_can_be_opened_again(self) -> None:
        """After `close` it can be opened again and does the same; `close` without `open` does no harm.

        A pipeline that runs twice uses the same object; a run that cannot start closes without opening.
        """
        transform, rows = self.make(), self.sample()
        transform.close()
        with self.opened(transform) as use:
            first = self.lines(use.apply(rows))
        with self.opened(transform) as use:
            expect_same(self.lines(use.apply(rows)), first, "opened again, it makes other rows")

    def test_streams_do_not_mix(self) -> None:
        """One instance serves several streams in turn, and what it does to one is as if it were alone.

        Keep whatever you keep per stream.
        """
        rows, other = self.sample(), Stream(self.stream.namespace, f"{self.stream.name}_too")
        with self.opened() as use:
            first, second = use.apply(rows), use.apply(reversed_rows(rows), other)
        with self.opened() as use:
            use.schema(rows, other)
            use.apply(reversed_rows(rows), other)
            expect_same(self.lines(use.apply(rows)), self.lines(first), "another stream changes the result")
            found = use.apply(reversed_rows(rows), other)
            expect_same(self.lines(found), self.lines(second), "a stream in between changes the result")

    def test_a_new_column_is_taken(self) -> None:
        """A column that the source adds later is no trouble: `schema` is asked again, then rows have it.

        Take columns by name, and answer `schema` for the columns you are given each time.
        """
        rows = self.sample()
        texts = [None if n % 3 == 0 else f"text {n}" for n in range(rows.num_rows)]
        wider = rows.append_column("added_later", pa.array(texts, pa.string()))
        with self.opened() as use:
            before = use.apply(rows)
            after = use.apply(wider)
            once_more = use.apply(rows)
        same = [name for name in before.rows.schema.names if name in after.rows.schema.names]
        expect(same == before.rows.schema.names, "a new column makes another one go away")
        expect(list(after.origin) == list(before.origin), "a new column changes which rows are kept")
        expect_same(self.lines(once_more), self.lines(before), "a column that came and went leaves a trace")

    def _lines_of(self, pieces: Sequence[pa.RecordBatch]) -> list[Line]:
        """Return what a new instance makes of the pieces, rejected rows with their code among them."""
        found: list[Line] = []
        start = 0
        with self.opened() as use:
            for piece in pieces:
                told = use.apply(piece)
                refused = [(row + start, ("rejected", code)) for row, code in told.rejected.items()]
                found += [*self.lines(told, start), *refused]
                start += piece.num_rows
        return sorted(found, key=lambda line: line[0])


def _cuts(rows: pa.RecordBatch) -> Iterator[tuple[str, Sequence[pa.RecordBatch]]]:
    """Yield ways to cut rows: sizes that do not divide bytes, single rows, slices of something longer."""
    third = -(-rows.num_rows // 3)
    for name, size in {"thirds": third, "sevens": 7, "single rows": 1}.items():
        yield name, [rows.slice(start, size) for start in range(0, rows.num_rows, size)]
    longer = pa.concat_batches([reversed_rows(rows).slice(0, 5), rows, rows.slice(0, 3)])
    yield "a slice with an offset", [longer.slice(5, rows.num_rows)]
