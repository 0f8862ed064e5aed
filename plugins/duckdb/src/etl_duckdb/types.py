"""Types: what a column of an Arrow type is in DuckDB, and as what it reads back.

Where DuckDB has the type, values pass as they are. Else the nearest exact one is taken (a half float is
kept as FLOAT, a decimal of more than 38 digits as its text), or the type is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as pt

from etl_core import SchemaError
from etl_duckdb.names import fold, quote

__all__ = ["handed", "sql_type", "stored"]

#: DuckDB's widest decimal, and its longest ARRAY.
_DIGITS = 38
_ARRAY = 100_000

_SQL = {
    pa.null(): '"NULL"',
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.time64("ns"): "TIME_NS",
    pa.timestamp("s"): "TIMESTAMP_S",
    pa.timestamp("ms"): "TIMESTAMP_MS",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("ns"): "TIMESTAMP_NS",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
    pa.timestamp("ns", "UTC"): "TIMESTAMPTZ_NS",
    pa.month_day_nano_interval(): "INTERVAL",
    pa.uuid(): "UUID",
    pa.json_(): "JSON",
}

_ALIASES: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pt.is_float16, pa.float32()),
    (pt.is_large_string, pa.string()),
    (pt.is_string_view, pa.string()),
    (pt.is_large_binary, pa.binary()),
    (pt.is_binary_view, pa.binary()),
    (pt.is_fixed_size_binary, pa.binary()),
    (pt.is_date64, pa.date32()),
    (pt.is_time32, pa.time64("us")),
    (pt.is_duration, pa.month_day_nano_interval()),
    (lambda type: isinstance(type, pa.JsonType), pa.json_()),
    (lambda type: isinstance(type, pa.Bool8Type), pa.bool_()),
)


def stored(type: pa.DataType) -> pa.DataType:
    """Return the Arrow type as which a column of `type` reads back.

    It is its own stored type. Raises SchemaError, naming the type, when DuckDB cannot keep its values.
    """
    return _kept(type.value_type if pt.is_run_end_encoded(type) else type)


def _kept(type: pa.DataType) -> pa.DataType:
    if type in _SQL:
        return type
    for is_type, same in _ALIASES:
        if is_type(type):
            return same
    if isinstance(type, pa.BaseExtensionType):
        return _kept(type.storage_type)
    if pt.is_timestamp(type):
        return pa.timestamp("ns" if type.unit == "ns" else "us", "UTC")
    if pt.is_decimal(type):
        return _decimal(type)
    if pt.is_dictionary(type):
        return _kept(type.value_type)
    return _nested(type)


def _decimal(type: pa.DataType) -> pa.DataType:
    scale = max(type.scale, 0)
    precision = max(type.precision - min(type.scale, 0), scale)
    return pa.decimal128(precision, scale) if precision <= _DIGITS else pa.string()


def _nested(type: pa.DataType) -> pa.DataType:
    if pt.is_fixed_size_list(type) and 0 < type.list_size <= _ARRAY:
        return pa.list_(_kept(type.value_type), type.list_size)
    if pt.is_map(type):
        return pa.map_(_kept(type.key_type), _kept(type.item_type))
    if any(is_list(type) for is_list in _LISTS):
        return pa.list_(_kept(type.value_type))
    if pt.is_struct(type) and 0 < len({fold(field.name) for field in type}) == type.num_fields:
        return pa.struct([pa.field(field.name, _kept(field.type)) for field in type])
    raise SchemaError(
        "DuckDB cannot keep a column of this type",
        "cast the column in a transform, or leave it out",
        type=str(type),
    )


_LISTS = (
    pt.is_list,
    pt.is_large_list,
    pt.is_list_view,
    pt.is_large_list_view,
    pt.is_fixed_size_list,
)


def sql_type(type: pa.DataType) -> str:
    """Return the SQL text of an Arrow type's column. Raises SchemaError as `stored` does."""
    kept = stored(type)
    if kept in _SQL:
        return _SQL[kept]
    if pt.is_decimal(kept):
        return f"DECIMAL({kept.precision},{kept.scale})"
    if pt.is_fixed_size_list(kept):
        return f"{sql_type(kept.value_type)}[{kept.list_size}]"
    if pt.is_map(kept):
        return f"MAP({sql_type(kept.key_type)}, {sql_type(kept.item_type)})"
    if pt.is_list(kept):
        return f"{sql_type(kept.value_type)}[]"
    fields = ", ".join(f"{quote(field.name)} {sql_type(field.type)}" for field in kept)
    return f"STRUCT({fields})"


def handed(type: pa.DataType) -> pa.DataType:
    """Return the type in which a column is handed to DuckDB: `type`, unless DuckDB cannot read it.

    A cast from `type` is exact.
    """
    if pt.is_run_end_encoded(type) or (
        pt.is_dictionary(type) and _readable(type.value_type) != type.value_type
    ):
        return _readable(type.value_type)
    return type if pt.is_dictionary(type) else _readable(type)


def _readable(type: pa.DataType) -> pa.DataType:
    if pt.is_float16(type):
        return pa.float32()
    if pt.is_decimal(type):
        return type if type.bit_width <= 128 and 0 <= type.scale <= type.precision else _decimal(type)
    if isinstance(type, pa.BaseExtensionType):
        return type if isinstance(type, _EXTENSIONS) else _readable(type.storage_type)
    # Below the top, DuckDB does not read a dictionary that nothing refers to.
    return _readable(type.value_type) if pt.is_dictionary(type) else _readable_nested(type)


_EXTENSIONS = (pa.UuidType, pa.JsonType, pa.Bool8Type)


def _readable_nested(type: pa.DataType) -> pa.DataType:
    if pt.is_struct(type):
        fields = [field.with_type(_readable(field.type)) for field in type]
        return type if fields == list(type) else pa.struct(fields)
    if pt.is_map(type):
        key, item = _readable(type.key_type), _readable(type.item_type)
        return type if (key, item) == (type.key_type, type.item_type) else pa.map_(key, item)
    if not any(is_list(type) for is_list in _LISTS):
        return type
    value = _readable(type.value_type)
    if pt.is_fixed_size_list(type) and 0 < type.list_size <= _ARRAY:
        return type if value == type.value_type else pa.list_(value, type.list_size)
    same = value == type.value_type and not pt.is_fixed_size_list(type)
    return type if same else pa.large_list(value)
