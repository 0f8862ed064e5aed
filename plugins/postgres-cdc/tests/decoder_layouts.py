"""Tables of every type, without a server, and text that PostgreSQL prints of each."""

from __future__ import annotations

from functools import partial
from random import Random

import pyarrow as pa
from attrs import frozen

from etl_pglib import arrays, numeric
from etl_pglib.types import RULES, PgType
from etl_postgres_cdc.layout import Layout

__all__ = ["COLUMNS", "LAYOUTS", "SAMPLES", "KindOf", "value_of"]

_NUMERIC, _TEXT_OID, _ENUM = 1700, 25, 900_001


@frozen
class KindOf:
    """A type, texts of it, and texts of it that its Arrow type cannot hold."""

    kind: PgType
    samples: tuple[str, ...]
    misfits: tuple[str, ...] = ()


def _built_in(oid: int, name: str, *samples: str, misfits: tuple[str, ...] = ()) -> KindOf:
    rule = RULES[oid]
    return KindOf(PgType(oid, -1, name, rule.arrow, rule.convert, oid), samples, misfits)


def _text(oid: int, name: str, *samples: str) -> KindOf:
    kind = PgType(oid, -1, name, pa.string(), lambda values: pa.array(values, pa.string()), oid)
    return KindOf(kind, samples)


def _decimal(precision: int, scale: int, *samples: str) -> KindOf:
    typmod = (precision << 16 | scale) + 4
    arrow = numeric.decimal_type(typmod)
    assert arrow is not None
    kind = PgType(_NUMERIC, typmod, "numeric", arrow, partial(numeric.cast, type=arrow), _NUMERIC)
    return KindOf(kind, samples, ("NaN", "Infinity", "-Infinity"))


def _list(oid: int, element: KindOf, *samples: str, misfits: tuple[str, ...] = ("{{1}}",)) -> KindOf:
    convert = partial(arrays.lists, delimiter=",", convert=element.kind.convert)
    kind = PgType(oid, -1, f"{element.kind.name}[]", pa.list_(element.kind.arrow), convert, oid)
    return KindOf(kind, samples, misfits)


_INT4 = _built_in(23, "integer", "0", "-2147483648", "2147483647", "42", misfits=("2147483648", "x", ""))
_STRING = _text(_TEXT_OID, "text", "", "a", "Ünïcödé 🐘", "long " * 40, "\\N", '{"a"}', "tab\tnewline\n")
SAMPLES: dict[str, KindOf] = {
    "bool": _built_in(16, "boolean", "t", "f", misfits=("true",)),
    "bytes": _built_in(17, "bytea", "\\x", "\\x00ff", "\\xdeadbeef", misfits=("\\x0", "abc", "\\xzz")),
    "int8": _built_in(20, "bigint", "0", "-9223372036854775808", "9223372036854775807", "7"),
    "int2": _built_in(21, "smallint", "-32768", "32767", "1", misfits=("32768",)),
    "int4": _INT4,
    "oid": _built_in(26, "oid", "0", "4294967295", "16384"),
    "json": _built_in(114, "json", '{"a": [1, 2]}', "null", ' {"b" : 1}'),
    "real": _built_in(
        700, "real", "0", "-0", "1e+10", "3.4028235e+38", "NaN", "Infinity", "-Infinity", "1e-45"
    ),
    "double": _built_in(
        701, "double precision", "0", "-0", "0.1", "1.7976931348623157e+308", "5e-324", "NaN", "-Infinity"
    ),
    "date": _built_in(1082, "date", "2024-02-29", "0001-01-01", "4713-01-01 BC", "infinity", "5874897-12-31"),
    "time": _built_in(1083, "time", "00:00:00", "23:59:59.999999", "12:30:00.5", misfits=("24:00:00",)),
    "timestamp": _built_in(
        1114,
        "timestamp",
        "2024-02-29 12:00:00",
        "1999-12-31 23:59:59.999999",
        "0044-03-15 00:00:00 BC",
        "infinity",
        "-infinity",
        misfits=("294276-12-31 23:59:59.999999",),
    ),
    "timestamptz": _built_in(
        1184, "timestamptz", "2024-02-29 12:00:00+00", "1883-11-18 12:03:58-07:52:58", "infinity"
    ),
    "interval": _built_in(
        1186, "interval", "1 year 2 mons 3 days 04:05:06.789", "00:00:00", "-1 days", misfits=("infinity",)
    ),
    "uuid": _built_in(
        2950,
        "uuid",
        "00000000-0000-0000-0000-000000000000",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        misfits=("a0eebc99",),
    ),
    "jsonb": _built_in(3802, "jsonb", '{"a": [1, 2]}', "[]", '"x"'),
    "decimal": _decimal(10, 2, "0.00", "-99999999.99", "12345678.90"),
    "decimal38": _decimal(38, 0, "9" * 38, "-" + "9" * 38, "1"),
    "decimal256": _decimal(60, 10, "9" * 50 + "." + "9" * 10, "-0.0000000001"),
    "text": _STRING,
    "varchar": _text(1043, "character varying", "v", ""),
    "numeric": _text(_NUMERIC, "numeric", "1.5", "NaN", "1" * 60),
    "enum": _text(_ENUM, "mood", "happy", "so-so"),
    "inet": _text(869, "inet", "127.0.0.1", "::1/128"),
    "int4s": _list(1007, _INT4, "{}", "{1,NULL,-2147483648}", "[0:1]={5,6}"),
    "texts": _list(1009, _STRING, "{}", '{a,"b,c",NULL,"NULL"}', '{"\\"\\\\"}'),
}


def value_of(name: str, random: Random, misfits: float) -> str:
    """Text of a type; `misfits` is how probable one is that does not fit."""
    kind = SAMPLES[name]
    if random.random() < misfits and kind.misfits:
        return random.choice(kind.misfits)
    if name in {"text", "varchar"} and random.random() < 0.5:
        return "".join(random.choices("aé🐘 \\\n\t", k=random.randrange(20)))
    return random.choice(kind.samples)


def _layout(names: tuple[str, ...], key: tuple[int, ...]) -> Layout:
    columns = tuple(f"{name}_{number}" for number, name in enumerate(names))
    return Layout(columns, tuple(SAMPLES[name].kind for name in names), key)


#: By name: the types of their columns are those of `SAMPLES`.
_TABLES: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "wide": (("int8", *SAMPLES), (0,)),
    "pair": (("text", "int4", "bool"), (1, 0)),
    "pair_later": (("text", "int4", "bool", "decimal"), (1, 0)),
    "keyless": (("bool", "text", "bytes"), ()),
    "columnless": ((), ()),
    "keys": (("uuid", "timestamptz", "decimal", "bytes", "bool", "interval"), (3, 0, 4, 1, 2)),
    "all_key": (("bool",), (0,)),
}
LAYOUTS = {name: _layout(names, key) for name, (names, key) in _TABLES.items()}
COLUMNS = {name: names for name, (names, _) in _TABLES.items()}
