"""Types: what a column of an Arrow type is in Snowflake, and as what it reads back.

| Arrow | Snowflake | reads back as |
|---|---|---|
| bool | BOOLEAN | bool |
| int8, int16, int32, int64, uint8 to uint64 | NUMBER(3,0) to NUMBER(20,0) | the same |
| float16, float32, float64 | FLOAT | float64 |
| decimals of at most 38 digits | NUMBER(p,s) | decimal128 |
| texts, null | VARCHAR | string |
| uuid | VARCHAR, as text | string |
| binaries | BINARY | binary |
| date | DATE | date32 |
| time | TIME(9) | time64 us, or ns |
| timestamp with, without a zone | TIMESTAMP_TZ(9), in UTC, TIMESTAMP_NTZ(9) | us, or ns |
| lists | ARRAY | lists |
| struct, map | OBJECT | struct, map |
| JSON | VARIANT | JSON |
| dictionary, run-end encoded, other extensions | what they stand for | that |

Everything else is refused by name: durations, intervals, unions, longer decimals.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as pt

from etl_core import SchemaError
from etl_snowflake.names import literal, quote

__all__ = [
    "converted",
    "described",
    "digits",
    "from_json",
    "from_parquet",
    "from_text",
    "is_semi",
    "kept",
    "named",
    "same_column",
    "sql_type",
    "stored",
]

#: Snowflake's longest NUMBER.
_DIGITS = 38
_SQL = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "NUMBER(3,0)",
    pa.int16(): "NUMBER(5,0)",
    pa.int32(): "NUMBER(10,0)",
    pa.int64(): "NUMBER(19,0)",
    pa.uint8(): "NUMBER(3,0)",
    pa.uint16(): "NUMBER(5,0)",
    pa.uint32(): "NUMBER(10,0)",
    pa.uint64(): "NUMBER(20,0)",
    pa.float64(): "FLOAT",
    pa.string(): "VARCHAR",
    pa.binary(): "BINARY",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME(9)",
    pa.time64("ns"): "TIME(9)",
    pa.timestamp("us"): "TIMESTAMP_NTZ(9)",
    pa.timestamp("ns"): "TIMESTAMP_NTZ(9)",
    pa.timestamp("us", "UTC"): "TIMESTAMP_TZ(9)",
    pa.timestamp("ns", "UTC"): "TIMESTAMP_TZ(9)",
    pa.json_(): "VARIANT",
}
_ALIASES: tuple[tuple[Callable[[pa.DataType], bool], pa.DataType], ...] = (
    (pt.is_null, pa.string()),
    (pt.is_float16, pa.float64()),
    (pt.is_float32, pa.float64()),
    (pt.is_large_string, pa.string()),
    (pt.is_string_view, pa.string()),
    (pt.is_large_binary, pa.binary()),
    (pt.is_binary_view, pa.binary()),
    (pt.is_fixed_size_binary, pa.binary()),
    (pt.is_date64, pa.date32()),
    (pt.is_time32, pa.time64("us")),
    (lambda type: isinstance(type, pa.UuidType), pa.string()),
    (lambda type: isinstance(type, pa.JsonType), pa.json_()),
    (lambda type: isinstance(type, pa.Bool8Type), pa.bool_()),
)
_LISTS = (pt.is_list, pt.is_large_list, pt.is_list_view, pt.is_large_list_view, pt.is_fixed_size_list)


def stored(type: pa.DataType) -> pa.DataType:
    """Return the Arrow type as which a column of `type` reads back; it is its own stored type.

    Raises SchemaError, naming the type, when Snowflake cannot keep its values.
    """
    if type in _SQL:
        return type
    for is_type, same in _ALIASES:
        if is_type(type):
            return same
    if pt.is_dictionary(type) or pt.is_run_end_encoded(type):
        return stored(type.value_type)
    if isinstance(type, pa.BaseExtensionType):
        return stored(type.storage_type)
    if pt.is_timestamp(type):
        return pa.timestamp("ns" if type.unit == "ns" else "us", "UTC" if type.tz else None)
    if pt.is_decimal(type) and (fitting := _decimal(type)) is not None:
        return fitting
    return _nested(type)


def _decimal(type: pa.DataType) -> pa.DataType | None:
    scale = max(type.scale, 0)
    precision = max(type.precision - min(type.scale, 0), scale)
    return pa.decimal128(precision, scale) if precision <= _DIGITS and scale < _DIGITS else None


def _nested(type: pa.DataType) -> pa.DataType:
    if pt.is_map(type):
        return pa.map_(stored(type.key_type), stored(type.item_type))
    if any(is_list(type) for is_list in _LISTS):
        return pa.list_(stored(type.value_type))
    if pt.is_struct(type) and len({field.name for field in type}) == type.num_fields:
        return pa.struct([pa.field(field.name, stored(field.type)) for field in type])
    raise SchemaError(
        "Snowflake cannot keep a column of this type",
        "cast the column in a transform, or leave it out",
        type=str(type),
    )


def kept(field: pa.Field) -> pa.Field:
    """Return a column as it reads back. Raises SchemaError, naming the column too, as `stored` does."""
    try:
        return pa.field(field.name, stored(field.type), field.nullable)
    except SchemaError as error:
        raise SchemaError(error.message, error.hint, column=field.name, **error.facts) from None


def sql_type(type: pa.DataType) -> str:
    """Return the SQL text of an Arrow type's column. Raises SchemaError as `stored` does."""
    same = stored(type)
    if same in _SQL:
        return _SQL[same]
    if pt.is_decimal(same):
        return f"NUMBER({same.precision},{same.scale})"
    return "ARRAY" if pt.is_list(same) else "OBJECT"


def is_semi(type: pa.DataType) -> bool:
    """Whether a column of an Arrow type holds JSON."""
    return sql_type(type) in {"ARRAY", "OBJECT", "VARIANT"}


def digits(type: pa.DataType) -> tuple[int, int] | None:
    """Return precision and scale of an Arrow type's NUMBER; None for another column."""
    kind = sql_type(type)
    if not kind.startswith("NUMBER"):
        return None
    precision, scale = kind.removeprefix("NUMBER(").removesuffix(")").split(",")
    return int(precision), int(scale)


_DESCRIBED = {
    "BOOLEAN": pa.bool_(),
    "FLOAT": pa.float64(),
    "TEXT": pa.string(),
    "BINARY": pa.binary(),
    "DATE": pa.date32(),
    "TIME": pa.time64("us"),
    "TIMESTAMP_NTZ": pa.timestamp("us"),
    "TIMESTAMP_LTZ": pa.timestamp("us", "UTC"),
    "TIMESTAMP_TZ": pa.timestamp("us", "UTC"),
    "ARRAY": pa.list_(pa.json_()),
    "OBJECT": pa.json_(),
    "VARIANT": pa.json_(),
}


def described(kind: str, precision: int | None, scale: int | None) -> pa.DataType:
    """Return the Arrow type of a column that INFORMATION_SCHEMA tells of so; text for one without.

    Moments are microseconds, as sources have them; a column takes nanoseconds as well.
    """
    if kind == "NUMBER":
        return pa.decimal128(precision or _DIGITS, scale or 0)
    return _DESCRIBED.get(kind, pa.string())


def same_column(type: pa.DataType, kind: str, precision: int | None, scale: int | None) -> bool:
    """Whether a column of an Arrow type is one that INFORMATION_SCHEMA tells of so."""
    told = f"NUMBER({precision},{scale})" if kind == "NUMBER" else kind.replace("TEXT", "VARCHAR")
    return sql_type(type).removesuffix("(9)") == told


def from_json(value: str, type: pa.DataType) -> str:
    """Return the SQL that reads a value of an OBJECT, as JSON has it, in the type of a column."""
    kind = sql_type(type)
    if kind == "BINARY":
        return f"TO_BINARY({value}::VARCHAR, 'HEX')"
    if kind in {"VARCHAR", "FLOAT"} or is_semi(type):
        return value if kind == "VARIANT" else f"{value}::{kind}"
    return f"{value}::VARCHAR::{kind}"  # through text, which a long NUMBER and a time are in JSON


def from_parquet(column: str, type: pa.DataType) -> str:
    """Return the SQL that reads a column of a Parquet file for a COPY; nested values are JSON text there."""
    value, kind = f"$1:{quote(column)}", sql_type(type)
    if not is_semi(type):
        return f"{value}::{kind}"
    parsed = f"PARSE_JSON({value}::VARCHAR)"
    return parsed if kind == "VARIANT" else f"{parsed}::{kind}"


def from_text(value: str, type: pa.DataType) -> str:
    """Return the SQL that reads a value bound as text (JSON, or hex for binary) in the type of a column."""
    kind = sql_type(type)
    if kind == "BINARY":
        return f"TO_BINARY({value}, 'HEX')"
    if is_semi(type):
        return f"PARSE_JSON({value})" + ("" if kind == "VARIANT" else f"::{kind}")
    return f"CAST({value} AS {kind})"


def converted(value: str, type: pa.DataType) -> str:
    """Return the SQL that makes a value of any column one of a type, or NULL."""
    kind = sql_type(type)
    if is_semi(type):
        return f"TRY_PARSE_JSON(TO_VARCHAR({value}))" + ("" if kind == "VARIANT" else f"::{kind}")
    if kind == "BINARY":
        return f"TRY_TO_BINARY(TO_VARCHAR({value}), 'HEX')"
    return f"TO_VARCHAR({value})" if kind == "VARCHAR" else f"TRY_CAST(TO_VARCHAR({value}) AS {kind})"


def named(value: str) -> str:
    """Return a column's name as a VARIANT, to look for it in an ARRAY."""
    return f"{literal(value)}::VARIANT"
