"""Reduces a batch of changes to writes with at most one row per key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.loaders.folding import Change, Entry, Fate, Folding
from etl_core.loaders.keys import KeyCodes, arrays_of, key_codes
from etl_core.loaders.rebuilding import rebuild
from etl_core.model import DELETED, OP, UNCHANGED

__all__ = ["fold"]

_NONE: frozenset[str] = frozenset()


def fold(rows: pa.Table, key: Sequence[str], *, soft: bool = False) -> Iterator[pa.Table]:
    """Yield the tables that, applied as sets one after the other, do what `rows` do one by one.

    `rows` have all reserved columns, `_etl_old_key` with exactly the fields of `key`. Each table has at
    most one row per key; a row's `_etl_seq` is that of the last change in it. With `soft` the tables
    also have `_etl_deleted`. Rows none of whose keys repeat are passed on without being copied.
    Rows that lack their key stay as they are, for the destination to refuse.
    """
    codes = key_codes(rows, key)
    if codes.unique:
        yield _marked(rows) if soft else rows
    elif _last_wins(rows, codes, soft):
        kept = rows.take(_last_rows(codes.keys))
        yield _marked(kept) if soft else kept
    else:
        yield from _fold_in_order(rows, key, codes, soft)


def _last_wins(rows: pa.Table, codes: KeyCodes, soft: bool) -> bool:
    """Whether the last row of a key says all there is to say about it."""
    if len(codes.old) or rows.column(UNCHANGED).null_count < rows.num_rows:
        return False
    return not soft or not pc.any(pc.equal(rows.column(OP), "d")).as_py()


def _last_rows(codes: pa.Array) -> pa.Array:
    numbers = pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), len(codes))), 1)
    table = pa.Table.from_arrays([codes, numbers], ["key", "row"])
    last = table.group_by("key", use_threads=False).aggregate([("row", "max")])
    return arrays_of(last.column("row_max")).sort()


def _fold_in_order(rows: pa.Table, key: Sequence[str], codes: KeyCodes, soft: bool) -> Iterator[pa.Table]:
    folding = Folding(soft)
    for change in _changes(rows, codes):
        if not folding.add(change):
            yield _rebuilt(rows, key, folding, soft)
            folding = Folding(soft)
            folding.add(change)
    yield _rebuilt(rows, key, folding, soft)


def _changes(rows: pa.Table, codes: KeyCodes) -> Iterator[Change]:
    deletes = pc.equal(rows.column(OP), "d").to_pylist()
    old = dict(zip(codes.old_rows.to_pylist(), codes.old.to_pylist(), strict=True))
    unchanged = _unchanged(rows)
    for row, code in enumerate(codes.keys.to_pylist()):
        before = old.get(row)
        moved_from = None if before == code else before
        yield Change(row, deletes[row], code, moved_from, unchanged.get(row, _NONE))


def _unchanged(rows: pa.Table) -> dict[int, frozenset[str]]:
    column = rows.column(UNCHANGED)
    if column.null_count == rows.num_rows:
        return {}
    return {row: frozenset(names) for row, names in enumerate(column.to_pylist()) if names}


def _rebuilt(rows: pa.Table, key: Sequence[str], folding: Folding, soft: bool) -> pa.Table:
    entries = [entry for entry in folding.entries.values() if entry.fate is not Fate.MOVED]
    entries.sort(key=_stamp)
    table = rebuild(rows, key, entries)
    if not soft:
        return table
    deleted = [entry.soft_deleted or entry.fate is Fate.DELETED for entry in entries]
    return table.append_column(DELETED, pa.array(deleted, pa.bool_()))


def _stamp(entry: Entry) -> int:
    return entry.stamp


def _marked(rows: pa.Table) -> pa.Table:
    return rows.append_column(DELETED, pc.equal(rows.column(OP), "d"))
