"""That a loader writes values of every type as they came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from etl_core.errors import SchemaError
from etl_core.model import SEQ, Batch, Kind, Step, pack_seq
from etl_core.schema import SEQ_TYPE, add_reserved, with_key
from etl_core.testing.destination.arrows import FAMILIES, samples
from etl_core.testing.destination.values import plain
from etl_core.testing.loader.calls import LoaderKit
from etl_core.testing.verdicts import expect

__all__ = ["ValueClauses"]

_KEY = ("id",)
_COLUMN = "value"


class ValueClauses(LoaderKit):
    """The clause about types."""

    def test_values_of_every_type_stay(self) -> None:
        """Values of every Arrow type are written as they came, or refused with SchemaError.

        Where you take or filter rows: Arrow does neither for views of texts and bytes, nor run-end encoded.
        """
        self.need_result()
        for family in FAMILIES:
            for values in samples(family):
                told = [self._snapshot(values)] if self.snapshot_only else []
                for batches in told or [self._snapshot(values), self._changes(values)]:
                    self._expect_kept(values, batches)

    def _expect_kept(self, values: pa.Array, batches: list[Batch]) -> None:
        """Plan the batches; the value of each id must be among what is written for it."""
        loader = self.make()
        columns = pa.schema([("id", pa.int64()), (_COLUMN, values.type)])
        try:
            loader.schema(self.stream, with_key(columns, _KEY))
            writes = [write for batch in batches for write in loader.plan(batch)]
        except SchemaError:
            return
        found: dict[int, list[Any]] = {}
        for rows in (write.rows for write in writes if write.rows is not None):
            for number, value in zip(rows.column("id").to_pylist(), plain(rows.column(_COLUMN)), strict=True):
                found.setdefault(number, []).append(value)
        differing = [n for n, wanted in enumerate(plain(values)) if wanted not in found.get(n, [])]
        how = "snapshot" if any(write.step is Step.BEGIN for write in writes) else "changes"
        expect(
            not differing, "values are other than they were", type=values.type, rows=len(differing), how=how
        )

    def _snapshot(self, values: pa.Array) -> list[Batch]:
        begin, end = (
            Batch(kind, self.stream, seq=pack_seq(1, 1, 0))
            for kind in (Kind.SNAPSHOT_BEGIN, Kind.SNAPSHOT_END)
        )
        return [begin, self._rows("r", enumerate(_pieces(values))), end]

    def _changes(self, values: pa.Array) -> list[Batch]:
        """Give each id another's value first, then its own in the same batch."""
        pieces = _pieces(values)
        return [self._rows("u", [*enumerate(reversed(pieces)), *enumerate(pieces)])]

    def _rows(self, op: str, pieces: Iterable[tuple[int, pa.Array]]) -> Batch:
        """Return rows of ids and values, a chunk for each."""
        chunks = []
        for ordinal, (number, value) in enumerate(pieces, 1):
            rows = pa.record_batch({"id": pa.array([number], pa.int64()), _COLUMN: value})
            rows = add_reserved(rows, _KEY, op)
            place, seq = rows.schema.get_field_index(SEQ), pa.array([pack_seq(1, 1, ordinal)], SEQ_TYPE)
            chunks.append(rows.set_column(place, rows.schema.field(place), seq))
        return Batch(Kind.ROWS, self.stream, pa.Table.from_batches(chunks))


def _pieces(values: pa.Array) -> list[pa.Array]:
    return [values.slice(place, 1) for place in range(len(values))]
