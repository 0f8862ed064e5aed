"""Numbers: integers, floats and numeric with a declared precision.

Every function turns PostgreSQL's text output into one Arrow array, None into null, and raises ValueError
for what the Arrow type cannot hold: Arrow's own casts of strings are exact.
"""

from __future__ import annotations

import pyarrow as pa

from etl_pglib.text import Values

__all__ = ["cast", "decimal_type"]

_MAX_PRECISION = 76
_SCALE_BITS = 0x7FF
_SCALE_SIGN = 0x400
_HEADER = 4


def cast(values: Values, type: pa.DataType) -> pa.Array:
    """Parse numbers exactly; floats are rounded as IEEE 754 says, once."""
    return pa.array(values, pa.string()).cast(type)


def decimal_type(typmod: int) -> pa.DataType | None:
    """Return the Arrow type of a numeric with this type modifier; None where only text is exact.

    A negative scale (since PostgreSQL 15) makes the precision larger instead, a scale above the precision
    raises the precision to it: many systems know neither.
    """
    if typmod < _HEADER:
        return None
    precision = (typmod - _HEADER) >> 16 & 0xFFFF
    scale = ((typmod - _HEADER & _SCALE_BITS) ^ _SCALE_SIGN) - _SCALE_SIGN
    digits = max(precision - min(scale, 0), scale)
    if digits > _MAX_PRECISION:
        return None
    return pa.decimal128(digits, max(scale, 0)) if digits <= 38 else pa.decimal256(digits, max(scale, 0))
