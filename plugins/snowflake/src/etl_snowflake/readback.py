"""JSON values read back as the Arrow types that they were: for tests of what is in the account."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

__all__ = ["typed"]


def typed(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.Array:
    """Return a column that came as JSON text in the type that it is kept as; another column as it is."""
    whole = column.combine_chunks()
    if isinstance(wanted, pa.JsonType) or not pt.is_nested(wanted):
        return whole
    return pa.array(
        [None if text is None else _value(_loaded(text), wanted) for text in whole.to_pylist()], wanted
    )


def _loaded(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def _value(value: Any, wanted: pa.DataType) -> Any:
    if value is None:
        return None
    if pt.is_list(wanted):
        return [_value(each, wanted.value_type) for each in value]
    if pt.is_struct(wanted):
        return {each.name: _value(value.get(each.name), each.type) for each in wanted}
    if pt.is_map(wanted):
        return [(_value(key, wanted.key_type), _value(item, wanted.item_type)) for key, item in value.items()]
    return _plain(value, wanted)


def _plain(value: Any, wanted: pa.DataType) -> Any:
    if pt.is_binary(wanted):
        return bytes.fromhex(value)
    if pt.is_decimal(wanted):
        return Decimal(value)
    if pt.is_integer(wanted):
        return int(value)
    if pt.is_floating(wanted):
        return float(value)
    if pt.is_timestamp(wanted):
        return dt.datetime.fromisoformat(value)
    if pt.is_date(wanted):
        return dt.date.fromisoformat(value)
    if pt.is_time(wanted):
        return dt.time.fromisoformat(value)
    return value
