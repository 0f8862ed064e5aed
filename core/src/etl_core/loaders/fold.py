"""Reduces a batch of changes to writes with at most one row per key."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.loaders.changes import Changes
from etl_core.loaders.kept import Kept, joined
from etl_core.loaders.keys import KeyCodes, arrays_of, key_codes
from etl_core.loaders.linked import fold_linked, linked_codes
from etl_core.loaders.plain import fold_plain
from etl_core.loaders.positions import is_delete, last_places, numbers
from etl_core.loaders.rebuilding import rebuild
from etl_core.model import DELETED, OLD_KEY, OP

__all__ = ["fold"]


def fold(rows: pa.Table, key: Sequence[str], *, soft: bool = False) -> Iterator[pa.Table]:
    """Yield the tables that, applied as sets one after the other, do what `rows` do one by one.

    `rows` have all reserved columns, `_etl_old_key` with exactly the fields of `key`. Each table has at
    most one row per key, in order of the last changes in them, of which each has the `_etl_seq`. With
    `soft` the tables also have `_etl_deleted`. Rows none of whose keys repeat are passed on without being
    copied. Rows that lack their key stay as they are, for the destination to refuse.
    """
    codes = key_codes(rows, key)
    rows = _with_moves_only(rows, codes) if codes else rows
    if codes is None or not len(codes.repeated):
        yield _marked(rows, is_delete(rows.column(OP)) if soft else None)
        return
    kept, cuts = _kept(Changes.of(rows, codes), codes, soft)
    yield from _writes(_marked(rebuild(rows, key, kept), kept.deleted if soft else None), kept, cuts)


def _with_moves_only(rows: pa.Table, codes: KeyCodes) -> pa.Table:
    """Return the rows without the old keys that say nothing, being the same as the key."""
    column = rows.column(OLD_KEY)
    if len(column) - column.null_count == len(codes.moves):
        return rows
    kept = last_places(codes.moves, rows.num_rows)(numbers(rows.num_rows))
    moved = arrays_of(column).take(codes.moves.take(kept))
    return rows.set_column(rows.schema.get_field_index(OLD_KEY), rows.schema.field(OLD_KEY), moved)


def _kept(changes: Changes, codes: KeyCodes, soft: bool) -> tuple[Kept, Sequence[int]]:
    linked = linked_codes(changes, codes)
    if not len(linked):
        return fold_plain(changes, soft), ()
    one_by_one = last_places(linked, codes.bound)(changes.codes).is_valid()
    kept, cuts = fold_linked(changes.where(one_by_one), codes, soft)
    plain = changes.where(pc.invert(one_by_one)).cut(cuts, len(changes))
    return joined([kept, fold_plain(plain, soft)]), cuts


def _marked(rows: pa.Table, deleted: pa.Array | None) -> pa.Table:
    return rows if deleted is None else rows.append_column(DELETED, deleted)


def _writes(rows: pa.Table, kept: Kept, cuts: Sequence[int]) -> Iterator[pa.Table]:
    """Cut the rows at the changes that begin a new write."""
    stamps = kept.stamps.to_pylist() if cuts else []
    edges = [0, *(bisect_left(stamps, cut) for cut in cuts), len(kept)]
    for start, end in pairwise(edges):
        yield rows.slice(start, end - start) if cuts else rows
