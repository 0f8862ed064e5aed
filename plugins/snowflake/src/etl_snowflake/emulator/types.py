"""Types: as declared in Snowflake, as kept in DuckDB, as told to clients."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

_T = exp.DataType.Type
_LONGEST_TEXT = 16_777_216
_LONGEST_BINARY = 8_388_608


@dataclass(frozen=True)
class SnowType:
    """One of Snowflake's types. `kind` is the word used on the wire."""

    kind: str
    precision: int = 0
    scale: int = 0
    length: int = 0

    def sql(self) -> str:
        """Write it as DESCRIBE TABLE does."""
        match self.kind:
            case "FIXED":
                return f"NUMBER({self.precision},{self.scale})"
            case "REAL":
                return "FLOAT"
            case "TEXT":
                return f"VARCHAR({self.length})"
            case "BINARY":
                return f"BINARY({self.length})"
            case "TIME" | "TIMESTAMP_NTZ" | "TIMESTAMP_TZ" | "TIMESTAMP_LTZ":
                return f"{self.kind}({self.scale})"
        return self.kind

    def duck(self) -> str:
        """Write the type that keeps its values."""
        if self.kind == "FIXED":
            return f"DECIMAL({self.precision},{self.scale})"
        return "TIME_NS" if self.kind == "TIME" and self.scale > 6 else _DUCK[self.kind]

    @property
    def semi(self) -> bool:
        """Whether values are JSON."""
        return self.kind in {"VARIANT", "ARRAY", "OBJECT"}

    def rowtype(self, name: str, *, nullable: bool = True) -> dict[str, Any]:
        """Describe a result's column to a client."""
        sized = self.kind in {"TEXT", "BINARY"}
        timed = self.kind.startswith("TIME")
        return {
            "name": name,
            "database": "",
            "schema": "",
            "table": "",
            "type": "text" if self.kind == "GEOGRAPHY" else self.kind.lower(),
            "precision": self.precision if self.kind == "FIXED" else (0 if timed else None),
            "scale": self.scale if self.kind == "FIXED" or timed else None,
            "length": self.length if sized else None,
            "byteLength": min(self.length * 4, _LONGEST_TEXT) if sized else None,
            "nullable": nullable,
            "collation": None,
        }


_DUCK = {
    "REAL": "DOUBLE",
    "TEXT": "VARCHAR",
    "BINARY": "BLOB",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP_NTZ": "TIMESTAMP",
    "TIMESTAMP_TZ": "TIMESTAMPTZ",
    "TIMESTAMP_LTZ": "TIMESTAMPTZ",
    "VARIANT": "JSON",
    "ARRAY": "JSON",
    "OBJECT": "JSON",
    "GEOGRAPHY": "VARCHAR",
}

NUMBER = SnowType("FIXED", 38, 0)
TEXT = SnowType("TEXT", length=_LONGEST_TEXT)
BOOLEAN = SnowType("BOOLEAN")
TIMESTAMP_LTZ = SnowType("TIMESTAMP_LTZ", scale=9)
VARIANT = SnowType("VARIANT")

_WHOLE = {_T.TINYINT, _T.SMALLINT, _T.INT, _T.BIGINT, _T.INT128, _T.MEDIUMINT}
_DECIMAL = {_T.DECIMAL, _T.BIGDECIMAL}
_REAL = {_T.FLOAT, _T.DOUBLE, _T.DECFLOAT}
_TEXTS = {_T.VARCHAR, _T.TEXT, _T.CHAR, _T.NCHAR, _T.NVARCHAR}
_TIMES = {
    _T.TIME: "TIME",
    _T.TIMESTAMP: "TIMESTAMP_NTZ",
    _T.TIMESTAMPNTZ: "TIMESTAMP_NTZ",
    _T.DATETIME: "TIMESTAMP_NTZ",
    _T.TIMESTAMPTZ: "TIMESTAMP_TZ",
    _T.TIMESTAMPLTZ: "TIMESTAMP_LTZ",
}
_PLAIN = {
    _T.BOOLEAN: "BOOLEAN",
    _T.DATE: "DATE",
    _T.VARIANT: "VARIANT",
    _T.ARRAY: "ARRAY",
    _T.LIST: "ARRAY",
    _T.OBJECT: "OBJECT",
    _T.MAP: "OBJECT",
    _T.STRUCT: "OBJECT",
    _T.GEOGRAPHY: "GEOGRAPHY",
    _T.GEOMETRY: "GEOGRAPHY",
}


def declared(tree: exp.DataType) -> SnowType | None:
    """Read a type out of a statement; None where there is no such type here."""
    kind = tree.this
    numbers = [int(part.name) for part in tree.expressions if part.name.isdigit()]
    if kind in _WHOLE:
        return NUMBER
    if kind in _DECIMAL:
        return SnowType("FIXED", numbers[0] if numbers else 38, numbers[1] if len(numbers) > 1 else 0)
    if kind in _REAL:
        return SnowType("REAL")
    if kind in _TEXTS:
        short = 1 if kind in {_T.CHAR, _T.NCHAR} else _LONGEST_TEXT
        return SnowType("TEXT", length=numbers[0] if numbers else short)
    if kind in {_T.BINARY, _T.VARBINARY}:
        return SnowType("BINARY", length=numbers[0] if numbers else _LONGEST_BINARY)
    if kind in _TIMES:
        return SnowType(_TIMES[kind], scale=numbers[0] if numbers else 9)
    return SnowType(_PLAIN[kind]) if kind in _PLAIN else None


_BY_DUCK = {
    "BOOLEAN": BOOLEAN,
    "DATE": SnowType("DATE"),
    "TIME": SnowType("TIME", scale=9),
    "TIME_NS": SnowType("TIME", scale=9),
    "TIMESTAMP": SnowType("TIMESTAMP_NTZ", scale=9),
    "TIMESTAMP_NS": SnowType("TIMESTAMP_NTZ", scale=9),
    "TIMESTAMP WITH TIME ZONE": SnowType("TIMESTAMP_TZ", scale=9),
    "TIMESTAMPTZ_NS": SnowType("TIMESTAMP_TZ", scale=9),
    "DOUBLE": SnowType("REAL"),
    "FLOAT": SnowType("REAL"),
    "BLOB": SnowType("BINARY", length=_LONGEST_BINARY),
    "JSON": VARIANT,
}
_DUCK_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)\Z")
_DUCK_WHOLE = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?\Z")


def kept(duck: str) -> SnowType:
    """Give the type of a column that DuckDB computed."""
    if found := _DUCK_DECIMAL.match(duck):
        return SnowType("FIXED", int(found[1]), int(found[2]))
    if _DUCK_WHOLE.match(duck):
        return NUMBER
    if duck.endswith("]") or duck.startswith(("STRUCT", "MAP")):
        return VARIANT
    return _BY_DUCK.get(duck, TEXT)
