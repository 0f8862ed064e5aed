"""Which rows of a batch are about the same key."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from etl_core.loaders.codes import coded, comparable
from etl_core.loaders.positions import is_delete, last_places, numbers, places
from etl_core.model import OLD_KEY, OP

__all__ = ["KeyCodes", "arrays_of", "key_codes"]

#: So many rows are looked at before all are: unordered keys are seldom ascending for long.
_HEAD = 64
_FALSE = pa.scalar(False, pa.bool_())


@frozen
class KeyCodes:
    """The code of each row's key, and of the keys that rows came from; codes are below `bound`.

    `moves` are the rows (ascending) whose key is another than before, `old` the codes of what it was.
    `repeated` has the codes that occur more than once, old ones included, each as often as it does but one.
    """

    keys: pa.Array
    bound: int
    moves: pa.Array
    old: pa.Array
    repeated: pa.Array


def key_codes(rows: pa.Table, key: Sequence[str]) -> KeyCodes | None:
    """Encode the keys and old keys of `rows`; None where a glance shows that none repeats.

    A key with a null in it equals no other.
    """
    columns = [comparable(arrays_of(rows.column(name))) for name in key]
    if rows.column(OLD_KEY).null_count == rows.num_rows and _ascending(columns):
        return None
    moves = _rows_with_old_key(rows)
    if len(moves):
        columns = _appended(columns, arrays_of(rows.column(OLD_KEY)).take(moves))
    codes, bound = coded(columns)
    keys, old = codes.slice(0, rows.num_rows), codes.slice(rows.num_rows)
    if len(moves):
        moved = pc.not_equal(keys.take(moves), old)
        moves, old = moves.filter(moved), old.filter(moved)
        codes = pa.concat_arrays([keys, old])
    repeated = pc.not_equal(last_places(codes, bound)(codes), numbers(len(codes)))
    return KeyCodes(keys, bound, moves, old, codes.filter(repeated))


def arrays_of(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; no copy when it has one chunk."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _rows_with_old_key(rows: pa.Table) -> pa.Array:
    """Return the rows that say what their key was; of a delete, that is nothing to read or remove."""
    old = rows.column(OLD_KEY)
    if old.null_count == rows.num_rows:
        return pa.array([], pa.int32())
    return places(pc.and_(old.is_valid(), pc.invert(is_delete(rows.column(OP)))))


def _appended(columns: Sequence[pa.Array], old_keys: pa.StructArray) -> list[pa.Array]:
    old = [comparable(values) for values in old_keys.flatten()]
    return [pa.concat_arrays(pair) for pair in zip(columns, old, strict=True)]


def _ascending(columns: Sequence[pa.Array]) -> bool:
    """Whether each key is above the one before, so that none occurs twice; False where hard to tell."""
    if not all(pa.types.is_integer(column.type) or _is_bytes(column.type) for column in columns):
        return False
    return _rising([column.slice(0, _HEAD) for column in columns]) and _rising(columns)


def _rising(columns: Sequence[pa.Array]) -> bool:
    above = _FALSE
    for column in reversed(columns):
        before, after = column.slice(0, max(len(column) - 1, 0)), column.slice(1)
        above = pc.or_(pc.less(before, after), pc.and_(pc.equal(before, after), above))
    return pc.all(above, skip_nulls=False, min_count=0).as_py() is True


def _is_bytes(type: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_binary, pa.types.is_fixed_size_binary)
    return any(test(type) for test in tests)
