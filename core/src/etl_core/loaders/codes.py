"""Values as small integers: equal values, of whatever columns and types, have equal codes."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.loaders.positions import last_places, numbers

__all__ = ["coded", "comparable", "tightened"]

#: Codes may have gaps, which cost memory and save hashing: up to so many numbers per row. At least 4, for
#: `_bucketed` takes a quarter.
_GAPS = 64
#: Below so many rows hashing costs nothing.
_FEW = 4096
#: Spreads integers over buckets: an odd number without pattern, of 64 bits.
_SPREAD = pa.scalar(0x9E3779B97F4A7C15, pa.uint64())
_ZERO = pa.scalar(0.0, pa.float64())
_NAN = pa.scalar(float("nan"), pa.float64())


def coded(columns: Sequence[pa.Array]) -> tuple[pa.Array, int]:
    """Return a code for the values of each row, and a bound above all codes.

    `columns` are of types that `comparable` returns. Values with a null among them equal no others.
    """
    codes, bound = _encoded(columns[0])
    for column in columns[1:]:
        more, count = _encoded(column)
        codes, bound = tightened(pc.add(pc.multiply(codes, _int(count)), more), bound * count)
    return _apart(codes, bound)


def tightened(codes: pa.Array, bound: int) -> tuple[pa.Array, int]:
    """Return the codes and their bound, or others where there are too many gaps between them."""
    return _hashed(codes) if bound > _GAPS * len(codes) else (codes, bound)


def _apart(codes: pa.Array, bound: int) -> tuple[pa.Array, int]:
    """Give every null a code of its own."""
    if not codes.null_count:
        return codes, bound
    own = pc.add(numbers(len(codes)).cast(pa.int64()), _int(bound))
    return pc.coalesce(codes, own), bound + len(codes)


def _encoded(values: pa.Array) -> tuple[pa.Array, int]:
    return (_measured(values) if pa.types.is_integer(values.type) else None) or _hashed(values)


def _measured(values: pa.Array) -> tuple[pa.Array, int] | None:
    """Take integers for their distance from the lowest; None when that is too far for some."""
    ends = pc.min_max(values)
    lowest, highest = ends["min"], ends["max"]
    if not lowest.is_valid or highest.as_py() - lowest.as_py() >= _GAPS * len(values):
        return None
    distances = pc.subtract(_wrapped(values), _wrapped(lowest))
    return distances, highest.as_py() - lowest.as_py() + 1


def _wrapped(values: pa.Array | pa.Scalar) -> pa.Array:
    """Return 64 bits of each integer; differences of unsigned ones come out right all the same."""
    return pc.cast(values, pa.int64(), safe=False)


def _hashed(values: pa.Array) -> tuple[pa.Array, int]:
    bucketed = len(values) > _FEW and pa.types.is_integer(values.type)
    return (_bucketed(values) if bucketed else None) or _by_dictionary(values)


def _bucketed(values: pa.Array) -> tuple[pa.Array, int] | None:
    """Let integers that are alone in their bucket have its number, and compare only those that share one.

    None where too many do for that to pay.
    """
    bits = (_GAPS // 4 * len(values)).bit_length()
    mixed = pc.multiply(_wrapped(values).view(pa.uint64()), _SPREAD)
    buckets = pc.shift_right(mixed, pa.scalar(64 - bits, pa.uint64())).view(pa.int64())
    crowded = buckets.filter(pc.not_equal(last_places(buckets, 1 << bits)(buckets), numbers(len(values))))
    if len(crowded) > len(values) // 4:
        return None
    sharing = last_places(crowded, 1 << bits)(buckets).is_valid()
    codes, distinct = _by_dictionary(values.filter(sharing))
    return pc.replace_with_mask(buckets, sharing, pc.add(codes, _int(1 << bits))), (1 << bits) + distinct


def _by_dictionary(values: pa.Array) -> tuple[pa.Array, int]:
    encoded = values.dictionary_encode()
    return encoded.indices.cast(pa.int64()), len(encoded.dictionary)


def _int(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.int64())


def comparable(values: pa.Array) -> pa.Array:
    """Return the values in a type that is cheap to compare, or at least possible."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pa.types.is_temporal(values.type) and values.type.bit_width in (32, 64):
        return values.view(pa.int64() if values.type.bit_width == 64 else pa.int32())
    if pa.types.is_floating(values.type):
        return _as_databases_compare(values.cast(pa.float64()))
    if pa.types.is_nested(values.type):
        texts = [None if value is None else repr(value) for value in values.to_pylist()]
        return pa.array(texts, pa.string())
    return values


def _as_databases_compare(values: pa.Array) -> pa.Array:
    """Make one number of both zeros, and one of all that are none."""
    return pc.if_else(pc.is_nan(values), _NAN, pc.add(values, _ZERO))
