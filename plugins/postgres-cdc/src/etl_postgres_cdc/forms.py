"""In which form the compiled decoder keeps a column, and in which the server is to send it for a copy."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from etl_pglib.names import quote_ident
from etl_pglib.types import RULES, PgType

__all__ = ["Form", "form_of", "is_native", "select"]


class Form(IntEnum):
    """The same numbers as `enum form` in csrc/column.h."""

    TEXT = 0
    BOOL = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    OID = 5
    FLOAT32 = 6
    FLOAT64 = 7
    DECIMAL = 8
    DATE = 9
    TIME = 10
    TIMESTAMP = 11
    TIMESTAMPTZ = 12
    UUID = 13
    BYTES = 14
    JSONB = 15


_OID, _JSONB, _NUMERIC = 26, 3802, 1700
#: text, varchar, bpchar, name: what these send in binary is what they print.
_TEXTS: Final = frozenset({25, 1043, 1042, 19})
_FORMS: Final[Mapping[pa.DataType, Form]] = MappingProxyType(
    {
        pa.string(): Form.TEXT,
        pa.json_(): Form.TEXT,
        pa.bool_(): Form.BOOL,
        pa.int16(): Form.INT16,
        pa.int32(): Form.INT32,
        pa.int64(): Form.INT64,
        pa.float32(): Form.FLOAT32,
        pa.float64(): Form.FLOAT64,
        pa.date32(): Form.DATE,
        pa.time64("us"): Form.TIME,
        pa.timestamp("us"): Form.TIMESTAMP,
        pa.timestamp("us", tz="UTC"): Form.TIMESTAMPTZ,
        pa.uuid(): Form.UUID,
        pa.binary(): Form.BYTES,
    }
)


def form_of(kind: PgType) -> Form | None:
    """Return the form of a type's values; None: they are kept as text and converted afterwards."""
    if pa.types.is_decimal128(kind.arrow):
        return Form.DECIMAL
    if kind.base == _OID and kind.arrow == pa.int64():
        return Form.OID
    if kind.base == _JSONB and kind.arrow == pa.json_():
        return Form.JSONB
    return _FORMS.get(kind.arrow)


def is_native(kind: PgType) -> bool:
    """Say whether the binary form of a type's values is one that the compiled decoder reads."""
    if form_of(kind) is None:
        return False
    if kind.arrow == pa.string():
        return kind.base in _TEXTS
    return kind.base == _NUMERIC or (kind.base in RULES and RULES[kind.base].arrow == kind.arrow)


def select(column: str, kind: PgType) -> str:
    """Return the SQL that gives a column's values for a binary copy: as they are, or as they print.

    A cast to text is not always what a type prints: bpchar loses its blanks, inet gains its length. `concat`
    prints, whatever the type and whoever may use its schema; NULL is asked for apart, as it prints nothing.
    """
    name = quote_ident(column)
    if is_native(kind):
        return name
    return f"CASE WHEN pg_catalog.num_nulls({name}) = 0 THEN pg_catalog.concat({name}) END"
