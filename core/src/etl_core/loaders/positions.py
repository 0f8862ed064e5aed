"""Where codes occur: tables of the last place of each code, made and read without a loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["by_grouping", "is_delete", "last_places", "mask_at", "numbers", "places"]

#: From codes to the last place each was found at, null where it was not found.
Lookup = Callable[[pa.Array], pa.Array]

# A Python value would cost more than the comparison: pyarrow looks for a module before it infers a type.
_DELETE = pa.scalar("d", pa.string())
_TRUE = pa.scalar(True, pa.bool_())
_BATCH = 65536


def numbers(count: int) -> pa.Array:
    """Return 0 .. count - 1 as int32."""
    return _numbers(max(_BATCH, 1 << (count - 1).bit_length())).slice(0, count)


@lru_cache(maxsize=2)
def _numbers(count: int) -> pa.Array:
    return places(pa.repeat(_TRUE, count))


def places(mask: pa.Array) -> pa.Array:
    """Return the places at which a mask is true, ascending, as int32."""
    return pc.indices_nonzero(mask).cast(pa.int32())


def mask_at(found: pa.Array, count: int) -> pa.Array:
    """Return a mask of `count` items that is true at the places found."""
    return last_places(found, count)(numbers(count)).is_valid()


def is_delete(ops: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the mask of the changes that delete."""
    return pc.equal(ops, _DELETE)


def last_places(codes: pa.Array, bound: int) -> Lookup:
    """Return the last place (int32) of each code; codes are below `bound`, one that is null has no place."""
    scattered = hasattr(pc, "inverse_permutation")  # since pyarrow 20
    return _by_scattering(codes, bound) if scattered else by_grouping(codes)


def _by_scattering(codes: pa.Array, bound: int) -> Lookup:
    """Write each place to its code's slot, where a later one takes over."""
    last = pc.inverse_permutation(codes, max_index=max(bound, 1) - 1, output_type=pa.int32())
    return cast("Lookup", last.take)


def by_grouping(codes: pa.Array) -> Lookup:
    """Do the same by hashing, several times slower."""
    table = pa.Table.from_arrays([codes, numbers(len(codes))], ["code", "place"]).drop_null()
    last = table.group_by("code", use_threads=False).aggregate([("place", "max")])
    found, at = (last.column(name).combine_chunks() for name in ("code", "place_max"))
    return lambda wanted: at.take(pc.index_in(wanted, value_set=found))
