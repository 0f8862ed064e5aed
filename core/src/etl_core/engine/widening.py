"""Which type changes keep the meaning of every value."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

__all__ = ["holds", "widens"]

_UNITS = ("s", "ms", "us", "ns")
#: The most bits of an integer that a float holds exactly.
_EXACT = {pa.float32(): 24, pa.float64(): 53}
_TEXT = (pt.is_string, pt.is_large_string, pt.is_string_view)
_BINARY = (pt.is_binary, pt.is_large_binary, pt.is_binary_view, pt.is_fixed_size_binary)
_LISTS = (pt.is_list, pt.is_large_list, pt.is_list_view, pt.is_large_list_view)


def widens(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether a column of `old` may become one of `new`: what `holds` says, or an exact number as text."""
    if (pt.is_integer(old) or pt.is_decimal(old)) and _is_any(new, _TEXT):
        return True
    return holds(old, new)


def holds(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether `new` has a value for each value of `old` that is the same number, text, time or bytes."""
    if old == new or pt.is_null(old):
        return True
    if pt.is_dictionary(old) or pt.is_dictionary(new):
        return holds(_plain(old), _plain(new))
    if pt.is_struct(old) and pt.is_struct(new):
        return [f.name for f in old] == [f.name for f in new] and all(
            holds(a.type, b.type) for a, b in zip(old, new, strict=True)
        )
    if _is_any(old, _LISTS) and _is_any(new, _LISTS):
        return holds(old.value_type, new.value_type)
    for family in (_TEXT, _BINARY):
        if _is_any(old, family):
            return _is_any(new, family) and not pt.is_fixed_size_binary(new)
    return _holds_number(old, new) or _holds_time(old, new)


def _plain(type: pa.DataType) -> pa.DataType:
    return type.value_type if pt.is_dictionary(type) else type


def _is_any(type: pa.DataType, family: tuple[object, ...]) -> bool:
    return any(is_type(type) for is_type in family)  # type: ignore[operator]


def _holds_number(old: pa.DataType, new: pa.DataType) -> bool:
    if pt.is_floating(old):
        return bool(pt.is_floating(new) and new.bit_width >= old.bit_width)
    if pt.is_decimal(old):
        return pt.is_decimal(new) and new.scale >= old.scale and _digits(new) >= _digits(old)
    if not pt.is_integer(old):
        return False
    bits = old.bit_width - pt.is_signed_integer(old)
    if pt.is_decimal(new):
        return _digits(new) >= len(str(2**bits))
    if pt.is_floating(new):
        return bool(bits <= _EXACT.get(new, 11))
    if not pt.is_integer(new) or (pt.is_signed_integer(old) and not pt.is_signed_integer(new)):
        return False
    return bool(new.bit_width - pt.is_signed_integer(new) >= bits)


def _digits(decimal: pa.DataType) -> int:
    """Return the digits before the point."""
    return int(decimal.precision - decimal.scale)


def _holds_time(old: pa.DataType, new: pa.DataType) -> bool:
    if pt.is_date(old):
        return pt.is_date(new) or (pt.is_timestamp(new) and new.tz is None and new.unit != "ns")
    if pt.is_timestamp(old):
        return pt.is_timestamp(new) and (old.tz is None) == (new.tz is None) and _finer(old, new)
    same = any(is_type(old) and is_type(new) for is_type in (pt.is_time, pt.is_duration))
    return same and _finer(old, new)


def _finer(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether the unit is as fine or finer; never nanoseconds, whose range is a part of the others'."""
    return old.unit == new.unit or (_UNITS.index(old.unit) < _UNITS.index(new.unit) and new.unit != "ns")
