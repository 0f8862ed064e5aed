"""PostgreSQL's text as Arrow arrays, for the types of the benchmark's table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from attrs import field, frozen

__all__ = ["PgType", "resolve"]

Values = Sequence[str | None]
Convert = Callable[[Values], pa.Array]

_FALSE_TRUE = pa.array(["f", "t"])
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_NUMERIC = 1700
_HEADER = 4


@frozen
class PgType:
    """A column's type, and how its text becomes Arrow."""

    arrow: pa.DataType
    convert: Convert = field(eq=False, repr=False)

    def parse(self, values: Values, column: str | None = None) -> pa.Array:
        """Turn PostgreSQL's text output (None is NULL) into an array of `arrow`."""
        return self.convert(values)


def texts(values: Values) -> pa.Array:
    """Return any type as PostgreSQL prints it."""
    return pa.array(values, pa.string())


def jsons(values: Values) -> pa.Array:
    """Return JSON documents as they are written, byte for byte."""
    return pa.ExtensionArray.from_storage(pa.json_(), texts(values))


def booleans(values: Values) -> pa.Array:
    """Return the values of `t` and `f`."""
    strings = texts(values)
    found = pc.index_in(strings, value_set=_FALSE_TRUE)
    if found.null_count != strings.null_count:
        raise ValueError("not a bool")
    return found.cast(pa.bool_())


def uuids(values: Values) -> pa.Array:
    """Return UUIDs, decoded all at once."""
    if any(value is not None and len(value) != len(_NO_UUID) for value in values):
        raise ValueError("not a uuid")
    data = bytes.fromhex("".join([value or _NO_UUID for value in values]).replace("-", ""))
    if len(data) != 16 * len(values):
        raise ValueError("not a uuid")
    validity = texts(values).is_valid().buffers()[1]
    storage = pa.Array.from_buffers(pa.binary(16), len(values), [validity, pa.py_buffer(data)])
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def _cast(type: pa.DataType) -> PgType:
    return PgType(type, lambda values: pa.array(values, pa.string()).cast(type))


_TYPES = {
    16: PgType(pa.bool_(), booleans),
    20: _cast(pa.int64()),
    23: _cast(pa.int32()),
    701: _cast(pa.float64()),
    1082: _cast(pa.date32()),
    1184: _cast(pa.timestamp("us", tz="UTC")),
    2950: PgType(pa.uuid(), uuids),
    3802: PgType(pa.json_(), jsons),
}
_TEXT = PgType(pa.string(), texts)


def resolve(oid: int, typmod: int) -> PgType:
    """Return the type of a column; what the benchmark's table does not have is text."""
    if oid == _NUMERIC and typmod >= _HEADER:
        return _cast(pa.decimal128((typmod - _HEADER) >> 16 & 0xFFFF, typmod - _HEADER & 0x3FF))
    return _TYPES.get(oid, _TEXT)
