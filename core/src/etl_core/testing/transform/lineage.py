"""That what a transform declares of its columns is true: nothing else decides, nothing else is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from etl_core.testing.transform.calls import Told, TransformKit, Use, reversed_rows
from etl_core.testing.verdicts import expect, skip

__all__ = ["LineageClauses"]

_Inputs = Mapping[str | None, Sequence[str]]


class LineageClauses(TransformKit):
    """The clauses about `inputs`. Under a mirror they decide what becomes of values that were not sent."""

    def test_inputs_name_columns(self) -> None:
        """`inputs` names columns that exist, and every column that the transform makes.

        Output column -> input columns; an empty tuple for a constant; under None what decides on a row.
        """
        rows = self.sample()
        with self.opened() as use:
            inputs, made = self._declared(use), use.schema(rows).names
        unknown = [name for name in inputs if name is not None and name not in made]
        expect(not unknown, "`inputs` names an output column that does not exist", columns=", ".join(unknown))
        for output, names in inputs.items():
            strange = [name for name in names if name not in rows.schema.names]
            expect(not strange, "`inputs` names an input column that does not exist", output=output)
        silent = [name for name in made if name not in rows.schema.names and name not in inputs]
        expect(not silent, "a column is made without declared inputs", columns=", ".join(silent))

    def test_columns_not_declared_pass_through(self) -> None:
        """A column that `inputs` does not name comes out as it went in.

        Name every column that you change, with the columns it is made of.
        """
        rows = self.sample()
        with self.opened() as use:
            inputs, told = self._declared(use), use.apply(rows)
        kept = rows.take(pa.array(told.origin, pa.int64()))
        for name in told.rows.schema.names:
            if name in inputs or name not in rows.schema.names or name in self.varies:
                continue
            same = _texts(told.rows.column(name)) == _texts(kept.column(name))
            expect(same, "a column is changed without declared inputs", column=name)

    def test_no_other_column_matters(self) -> None:
        """A change of any other column changes neither an output column nor which rows are kept.

        `inputs` must name everything that you read: a value that was not sent would be taken for null.
        """
        rows = self.sample()
        with self.opened() as use:
            inputs, before = self._declared(use), use.apply(rows)
            for column in rows.schema.names:
                for how, changed in self._changed(rows, column):
                    self._compare(before, use.apply(changed), inputs, column, how)

    def _declared(self, use: Use) -> _Inputs:
        inputs = use.transform.inputs(self.stream)
        if inputs is None:
            skip("it declares no `inputs`")
        return inputs

    def _changed(self, rows: pa.RecordBatch, column: str) -> Iterator[tuple[str, pa.RecordBatch]]:
        place = rows.schema.get_field_index(column)
        field = rows.schema.field(place)
        yield "reversed", rows.set_column(place, field, reversed_rows(rows).column(place))
        if column not in self.keys:
            yield "null", rows.set_column(place, field, pa.nulls(rows.num_rows, field.type))

    def _compare(self, before: Told, after: Told, inputs: _Inputs, column: str, how: str) -> None:
        rejected = {*before.rejected, *after.rejected}
        if column not in inputs.get(None, ()):
            one, other = ([row for row in told.origin if row not in rejected] for told in (before, after))
            expect(one == other, "a column that is not declared decides on a row", column=column, values=how)
        for output in before.rows.schema.names:
            if output in self.varies or column in inputs.get(output, (output,)):
                continue
            was, now = (_by_row(told, output) for told in (before, after))
            differing = next((row for row in was if row in now and was[row] != now[row]), None)
            expect(
                differing is None,
                "an output column depends on a column that is not among its declared inputs",
                output=output,
                column=column,
                values=how,
                row=differing,
            )


def _by_row(told: Told, name: str) -> dict[int, list[str]]:
    """Return what each input row gave in an output column."""
    found: dict[int, list[str]] = {}
    for row, text in zip(told.origin, _texts(told.rows.column(name)), strict=True):
        found.setdefault(row, []).append(text)
    return found


def _texts(column: pa.Array) -> list[str]:
    return [repr(value) for value in column.to_pylist()]
