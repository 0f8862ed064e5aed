"""A batch of changes as arrays: which key each is about and what it does, values aside."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import evolve, frozen

from etl_core.loaders.codes import tightened
from etl_core.loaders.keys import KeyCodes, arrays_of
from etl_core.loaders.marks import Marks, marks_of
from etl_core.loaders.positions import is_delete, mask_at, numbers
from etl_core.model import OP, UNCHANGED

__all__ = ["Changes"]


@frozen
class Changes:
    """`rows` are row numbers of the batch, ascending; the other arrays have one item for each of them.

    Changes of one key have the same code, below `bound`; `marks` say what a change did not send.
    """

    rows: pa.Array
    codes: pa.Array
    bound: int
    deletes: pa.Array
    marks: Marks

    @classmethod
    def of(cls, rows: pa.Table, codes: KeyCodes) -> Changes:
        """Look at all rows of a batch."""
        deletes = arrays_of(is_delete(rows.column(OP)))
        marks = marks_of(rows.column(UNCHANGED))
        if marks and pc.any(deletes).as_py():  # a delete sends nothing and leaves nothing as it is
            puts = pc.invert(deletes)
            marks = {name: pc.and_(mask, puts) for name, mask in marks.items()}
        return cls(numbers(rows.num_rows), codes.keys, codes.bound, deletes, marks)

    def __len__(self) -> int:
        return len(self.rows)

    def where(self, mask: pa.Array) -> Changes:
        """Return some of the changes."""
        return evolve(
            self,
            rows=self.rows.filter(mask),
            codes=self.codes.filter(mask),
            deletes=self.deletes.filter(mask),
            marks={name: marked.filter(mask) for name, marked in self.marks.items()},
        )

    def cut(self, cuts: Sequence[int], count: int) -> Changes:
        """Give a key other codes in each of the parts that the batch of `count` rows is cut into."""
        if not cuts:
            return self
        begins = mask_at(pa.array(cuts, pa.int32()), count)
        part = pc.cumulative_sum(begins.cast(pa.int64())).take(self.rows)
        codes = pc.add(self.codes, pc.multiply(part, pa.scalar(self.bound, pa.int64())))
        codes, bound = tightened(codes, self.bound * (len(cuts) + 1))
        return evolve(self, codes=codes, bound=bound)
