"""Comparing what was read back with what was sent: by value, whatever the representation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

__all__ = ["as_type", "difference", "plain", "plain_value"]

_NANOS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY = 86_400_000


def plain(array: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return values that compare: numbers by value, NaN equal to itself, -0.0 not to 0.0, times as counts."""
    return [plain_value(each) for each in array]


def plain_value(scalar: pa.Scalar) -> Any:
    """Return one value as `plain` does."""
    kind = scalar.type
    if not scalar.is_valid or pt.is_null(kind):
        return None
    if isinstance(kind, pa.Bool8Type):
        return scalar.as_py()
    if isinstance(kind, pa.BaseExtensionType):
        return plain_value(scalar.value)
    if pt.is_run_end_encoded(kind) or pt.is_dictionary(kind):
        return plain_value(_decoded(scalar))
    if pt.is_temporal(kind):
        return _temporal(scalar)
    return _nested(scalar) if pt.is_nested(kind) else _simple(scalar.as_py())


def _decoded(scalar: pa.Scalar) -> pa.Scalar:
    if pt.is_dictionary(scalar.type):
        return scalar.dictionary[scalar.index.as_py()]
    return pa.scalar(scalar.as_py(), scalar.type.value_type)


def _temporal(scalar: pa.Scalar) -> Any:
    kind = scalar.type
    if pt.is_interval(kind):
        return ("interval", *scalar.value)
    if pt.is_date32(kind):
        return ("date", scalar.value)
    if pt.is_date64(kind):
        return ("date", scalar.value // _DAY)
    nanos = scalar.value * _NANOS[kind.unit]
    if pt.is_duration(kind):
        return ("interval", 0, 0, nanos)
    if pt.is_timestamp(kind):
        return ("local" if kind.tz is None else "instant", nanos)
    return ("time", nanos)


def _nested(scalar: pa.Scalar) -> Any:
    if pt.is_struct(scalar.type):
        names = [field.name for field in scalar.type]
        return tuple((name, plain_value(scalar[place])) for place, name in enumerate(names))
    if pt.is_map(scalar.type):
        entries = scalar.values
        keys, items = entries.field(0), entries.field(1)
        return tuple(zip(plain(keys), plain(items), strict=True))
    return tuple(plain(scalar.values))


def _simple(value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return ("float", repr(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return ("bytes", bytes(value))
    # Integers and decimals are one number when their values are; an integer must not become a float.
    text = str(value) if isinstance(value, int) else format(value, "f")
    whole, point, part = text.partition(".")
    part = part.rstrip("0")
    return ("number", f"{whole}.{part}" if point and part else whole)


def as_type(values: pa.Array, type: pa.DataType) -> pa.Array | None:
    """Return the values as another type, where Arrow can do that without a loss; else None."""
    try:
        if pt.is_run_end_encoded(values.type):
            values = pc.run_end_decode(values)
        return values.cast(type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return None


def difference(
    wanted: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], key: Sequence[str]
) -> dict[str, object]:
    """Say how two sets of rows differ, without a value of them; empty when they do not."""
    missing = Counter(map(_told, wanted)) - Counter(map(_told, found))
    extra = Counter(map(_told, found)) - Counter(map(_told, wanted))
    if not missing and not extra:
        return {}
    facts: dict[str, object] = {"rows_wanted": len(wanted), "rows_found": len(found)}
    by_key = _by_key(wanted, key), _by_key(found, key)
    columns = {
        name
        for each in by_key[0].keys() & by_key[1].keys()
        for name, value in by_key[0][each].items()
        if _told(by_key[1][each].get(name)) != _told(value)
    }
    lost, more = len(by_key[0].keys() - by_key[1].keys()), len(by_key[1].keys() - by_key[0].keys())
    repeated = len(found) - len(by_key[1])
    return facts | _named(
        {
            "keys_missing": lost,
            "keys_too_many": more,
            "rows_repeated": repeated,
            "columns_differing": ", ".join(sorted(columns)),
        }
    )


def _by_key(rows: Iterable[Mapping[str, Any]], key: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    return {_told([row.get(name) for name in key]): row for row in rows}


def _named(facts: Mapping[str, object]) -> dict[str, object]:
    return {name: fact for name, fact in facts.items() if fact}


_told: Callable[[Any], str] = repr
