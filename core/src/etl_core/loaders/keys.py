"""Keys as small integers: equal keys, of whatever columns and types, have equal codes."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import frozen

from etl_core.model import OLD_KEY

__all__ = ["KeyCodes", "arrays_of", "key_codes"]


@frozen
class KeyCodes:
    """The codes of each row's key, and of the old keys of the rows in `old_rows` that have one."""

    keys: pa.Array
    old: pa.Array
    old_rows: pa.Array
    distinct: int

    @property
    def unique(self) -> bool:
        """Whether no key occurs twice, old keys included."""
        return self.distinct == len(self.keys) + len(self.old)


def key_codes(rows: pa.Table, key: Sequence[str]) -> KeyCodes:
    """Encode the keys and old keys of `rows`. A key with a null in it equals no other."""
    old_key = arrays_of(rows.column(OLD_KEY))
    old_rows = pc.indices_nonzero(old_key.is_valid())
    old_columns = old_key.take(old_rows).flatten()
    columns = [
        pa.concat_arrays([arrays_of(rows.column(name)), old])
        for name, old in zip(key, old_columns, strict=True)
    ]
    codes, distinct = _apart(*_combined(columns))
    count = rows.num_rows
    return KeyCodes(codes.slice(0, count), codes.slice(count), old_rows, distinct)


def arrays_of(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; no copy when it has one chunk."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _combined(columns: Sequence[pa.Array]) -> tuple[pa.Array, int]:
    codes, distinct = _encoded(columns[0])
    for column in columns[1:]:
        more, count = _encoded(column)
        codes, distinct = _encoded(pc.add(pc.multiply(codes, count), more))
    return codes, distinct


def _apart(codes: pa.Array, distinct: int) -> tuple[pa.Array, int]:
    """Give every null a code of its own."""
    if not codes.null_count:
        return codes, distinct
    numbers = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), len(codes)))
    return pc.coalesce(codes, pc.add(numbers, distinct)), distinct + codes.null_count


def _encoded(values: pa.Array) -> tuple[pa.Array, int]:
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type):
        values = pa.array([repr(value) for value in values.to_pylist()], pa.string())
    encoded = values.dictionary_encode()
    return encoded.indices.cast(pa.int64()), len(encoded.dictionary)
