"""What a transform's answers must be: columns as it said, every row accounted for, nothing else touched."""

from __future__ import annotations

import pyarrow as pa

from etl_core.engine.answers import Answer
from etl_core.errors import PluginError
from etl_core.model import Transformed
from etl_core.schema import with_key
from etl_core.testing.transform.calls import TransformKit, Use, expect_same
from etl_core.testing.verdicts import expect, fail, not_reached, skip

__all__ = ["AnswerClauses"]


class AnswerClauses(TransformKit):
    """The clauses about single answers."""

    def test_its_schema_is_that_of_its_rows(self) -> None:
        """`schema` tells the names, types and order of the columns that `apply` returns.

        The engine makes the table from `schema`, before there is a row; it reads no column that is not in it.
        """
        rows = self.sample()
        with self.opened() as use:
            promised = use.schema(rows)
            given, _ = use.raw(rows)
        found = _rows_of(given)
        expect(found.schema.names == promised.names, "other columns came than `schema` says")
        for one in promised:
            column = found.column(one.name)
            expect(column.type == one.type, "a column has another type than `schema` says", column=one.name)
            lacking = not one.nullable and column.null_count
            expect(not lacking, "a column that `schema` calls not null has nulls", column=one.name)
        reserved = [name for name in promised.names if name.startswith("_etl_")]
        expect(not reserved, "it makes a column with a reserved name", columns=", ".join(reserved))

    def test_asking_for_the_schema_changes_nothing(self) -> None:
        """`schema` and `inputs` answer the same before `open`, when asked again, and after rows.

        `check` and `describe` ask without a run: take what they need from the config alone.
        """
        transform, rows = self.make(), self.sample()
        keyed = with_key(rows.schema, self.keys)
        first = (transform.schema(self.stream, keyed), transform.inputs(self.stream))
        again = (transform.schema(self.stream, keyed), transform.inputs(self.stream))
        expect(first[0].equals(again[0]) and first[1] == again[1], "asked again, it answers otherwise")
        with self.opened(transform) as use:
            use.raw(rows)
            later = (use.schema(rows), transform.inputs(self.stream))
        expect(first[0].equals(later[0]), "`schema` answers otherwise once it is open")
        expect(first[1] == later[1], "`inputs` answers otherwise once it is open")

    def test_every_row_is_accounted_for(self) -> None:
        """A plain batch has one row per input row less rejected ones; otherwise `origin` says which is which.

        Return `Transformed(rows, origin)` when rows are left out, and `origin` in ascending order.
        """
        with self.opened() as use:
            self._judge(use, self.sample())

    def _judge(self, use: Use, rows: pa.RecordBatch) -> Answer:
        try:
            return use.judged(rows)
        except PluginError as error:
            fail(error.message, rows=rows.num_rows)

    def test_its_input_stays_as_it_was(self) -> None:
        """The rows it is given are the same afterwards, byte by byte.

        Their memory is shared with other stages and with observers: write into new buffers.
        """
        rows = self.sample()
        around = pa.Table.from_batches([rows, rows]).combine_chunks().to_batches()[0]
        before = around.serialize().to_pybytes()
        with self.opened() as use:
            use.raw(around.slice(0, rows.num_rows))
            use.raw(around.slice(rows.num_rows))
        expect(around.serialize().to_pybytes() == before, "it wrote into the rows it was given")

    def test_no_rows_give_no_rows(self) -> None:
        """An empty batch gives an empty batch with the columns that `schema` says.

        Look for `rows.num_rows == 0` where your library does not like it.
        """
        rows = self.sample().slice(0, 0)
        with self.opened() as use:
            found = _rows_of(use.raw(rows)[0])
            promised = use.schema(rows)
        expect(found.num_rows == 0, "it made rows of none", rows=found.num_rows)
        same = found.schema.names == promised.names and found.schema.types == promised.types
        expect(same, "an empty batch has other columns")

    def test_values_may_be_missing(self) -> None:
        """Any column but the key may be null, whatever the source's schema says: it raises for none.

        A change may come without the values that did not change. Pass nulls on, or `ctx.reject` the rows.
        """
        rows = self.sample()
        others = [name for name in rows.schema.names if name not in self.keys]
        with self.opened() as use:
            for names in [*([name] for name in others), others]:
                use.apply(_emptied(rows, names))

    def test_key_columns_stay(self) -> None:
        """Key columns hold what they held, unless the transform says that it maps keys.

        Deletes go around transforms and carry the key: set `maps_keys`, and they are mapped too.
        """
        self._need_key(maps=False)
        rows = self.sample()
        with self.opened() as use:
            told = use.apply(rows)
            kept = rows.take(pa.array(told.origin, pa.int64()))
            try:
                Answer(told.rows, None, (), ()).check_keys("transform", kept, self.keys)
            except PluginError as error:
                fail(error.message, column=error.facts.get("column"))

    def test_keys_alone_are_mapped_alike(self) -> None:
        """Rows that hold nothing but a key are mapped, each to the key that the full row gets.

        A delete carries its key only: it must find the row that was written before.
        """
        self._need_key(maps=True)
        rows = self.sample()
        bare = _emptied(rows, [name for name in rows.schema.names if name not in self.keys])
        with self.opened() as use:
            full, alone = use.apply(rows), use.apply(bare)
        expect(alone.rows.num_rows == rows.num_rows, "a row that holds nothing but a key was left out")
        wanted = dict(zip(full.origin, _keys(full.rows, self.keys), strict=True))
        for row, key in zip(alone.origin, _keys(alone.rows, self.keys), strict=True):
            expect(wanted.get(row, key) == key, "a key alone is mapped otherwise than with its row", row=row)

    def _need_key(self, *, maps: bool) -> None:
        mapping = self.make().maps_keys
        if mapping is not maps:
            skip("it maps keys" if mapping else "it does not map keys")
        if self.key is None:
            not_reached("give the class attribute `key`: the key columns of `rows`, () where there are none")
        if not self.key:
            skip("its rows have no key")

    def test_what_is_rejected_is_told(self) -> None:
        """A rejected row is one it was given, has a code, and is absent from the output.

        Call `ctx.reject(indices, code, column)` with indices into the rows just handed over.
        """
        bad = self.bad_rows()
        rows = self.sample() if bad is None else pa.concat_batches([self.sample(), bad])
        with self.opened() as use:
            given, refused = use.raw(rows)
            if not refused:
                skip("it rejected no row; give `bad_rows` where it should")
            for _, code, column in refused:
                expect(isinstance(code, str) and code.strip(), "a row was rejected without a code")
                known = column is None or column in {*rows.schema.names, *_rows_of(given).schema.names}
                expect(known, "a row was rejected for a column that does not exist", column=column)
            self._judge(use, rows)

    def test_a_bad_row_is_rejected_not_raised(self) -> None:
        """Rows it cannot work on are rejected, and those beside them come out as without them.

        An exception stops the pipeline for every row: catch what a value can cause, and `ctx.reject` its row.
        """
        bad, rows = self.bad_rows(), self.sample()
        if bad is None:
            skip("it has no bad rows; give `bad_rows` where there are some")
        with self.opened() as use:
            alone = use.apply(rows)
            both = use.apply(pa.concat_batches([rows, bad]))
        spared = set(range(rows.num_rows, rows.num_rows + bad.num_rows)).difference(both.rejected)
        expect(not spared, "a bad row was not rejected", rows=len(spared))
        if not self.per_batch:
            expect_same(self.lines(both), self.lines(alone), "bad rows change what becomes of others")


def _rows_of(given: object) -> pa.RecordBatch:
    rows = given.rows if isinstance(given, Transformed) else given
    expect(
        isinstance(rows, pa.RecordBatch), "it returned something else than rows", type=type(given).__name__
    )
    return rows


def _emptied(rows: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    """Return the rows with nothing in these columns."""
    columns = [
        pa.nulls(rows.num_rows, one.type) if one.name in names else rows.column(one.name)
        for one in rows.schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _keys(rows: pa.RecordBatch, key: tuple[str, ...]) -> list[tuple[str, ...]]:
    columns = [[repr(value) for value in rows.column(name).to_pylist()] for name in key]
    return list(zip(*columns, strict=True))
