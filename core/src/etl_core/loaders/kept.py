"""What is left of a batch: one row per key and write, told by the rows it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import field, frozen

__all__ = ["Kept", "joined"]

_FALSE = pa.scalar(False, pa.bool_())


@frozen
class Kept:
    """Rows to write, in the order of their last changes; all arrays have one item per row.

    `rows` says whose columns a row has, `stamps` which change was its last (both row numbers, int32).
    `of_old` rows delete the key that their row came from. `deleted` rows are gone at the source.
    `filled` holds by column the row whose value it is instead, null for the row's own; `unsent` by column
    whether nobody sent it.
    """

    rows: pa.Array
    stamps: pa.Array
    of_old: pa.Array
    deleted: pa.Array
    filled: dict[str, pa.Array] = field(factory=dict)
    unsent: dict[str, pa.Array] = field(factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


def joined(parts: Sequence[Kept]) -> Kept:
    """Return the rows of all parts, in the order of their last changes."""
    whole = Kept(
        rows=pa.concat_arrays([part.rows for part in parts]),
        stamps=pa.concat_arrays([part.stamps for part in parts]),
        of_old=pa.concat_arrays([part.of_old for part in parts]),
        deleted=pa.concat_arrays([part.deleted for part in parts]),
        filled=_by_column([(part.filled, pa.nulls(len(part), pa.int32())) for part in parts]),
        unsent=_by_column([(part.unsent, pa.repeat(_FALSE, len(part))) for part in parts]),
    )
    return _in_order(whole)


def _by_column(parts: Sequence[tuple[dict[str, pa.Array], pa.Array]]) -> dict[str, pa.Array]:
    names = dict.fromkeys(name for part, _ in parts for name in part)
    return {name: pa.concat_arrays([part.get(name, absent) for part, absent in parts]) for name in names}


def _in_order(kept: Kept) -> Kept:
    order = pc.sort_indices(kept.stamps)
    return Kept(
        kept.rows.take(order),
        kept.stamps.take(order),
        kept.of_old.take(order),
        kept.deleted.take(order),
        {name: rows.take(order) for name, rows in kept.filled.items()},
        {name: mask.take(order) for name, mask in kept.unsent.items()},
    )
