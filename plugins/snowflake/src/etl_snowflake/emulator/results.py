"""What a statement answers, and how it travels: Arrow for queries, JSON rows for everything else."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from etl_snowflake.emulator.types import BOOLEAN, NUMBER, TEXT, TIMESTAMP_LTZ, SnowType

SELECT, INSERT, UPDATE, DELETE, MERGE, COPY = 0x1000, 0x3100, 0x3200, 0x3300, 0x3400, 0x3600
COMMAND = 0x4000
SHOW = 0x1200


@dataclass
class Result:
    """Columns with their types, and rows of one of two shapes."""

    columns: list[tuple[str, SnowType]]
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    arrow: pa.Table | None = None
    kind: int = COMMAND
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many rows it has."""
        return len(self.rows) if self.arrow is None else self.arrow.num_rows

    def to_wire(self) -> dict[str, Any]:
        """Give the parts of a query response that describe and hold the rows."""
        wire: dict[str, Any] = {
            "rowtype": [kind.rowtype(name) for name, kind in self.columns],
            "total": self.count,
            "returned": self.count,
            "statementTypeId": self.kind,
            **self.extra,
        }
        if self.arrow is None:
            rows = [[_text(value) for value in row] for row in self.rows]
            return {**wire, "queryResultFormat": "json", "rowset": rows}
        encoded = to_arrow(self.arrow, self.columns)
        body = base64.b64encode(stream(encoded)).decode() if self.count else ""
        return {**wire, "queryResultFormat": "arrow", "rowsetBase64": body}


def done(text: str = "Statement executed successfully.") -> Result:
    """Give the result of a statement that has nothing else to say."""
    return Result([("status", TEXT)], [(text,)])


def changed(kind: int, **counts: int) -> Result:
    """Give the result of DML: how many rows were inserted, updated, deleted."""
    columns = [(f"number of rows {word}", NUMBER) for word in counts]
    return Result(columns, [tuple(counts.values())], kind=kind)


def listing(columns: dict[str, SnowType], rows: list[tuple[Any, ...]]) -> Result:
    """Give the result of a SHOW, LIST or DESCRIBE."""
    return Result(list(columns.items()), rows, kind=SHOW)


def texts(*names: str) -> dict[str, SnowType]:
    """Give columns that are all text, but for the times and flags that are known by their names."""
    known = {"created_on": TIMESTAMP_LTZ, "rows": NUMBER, "bytes": NUMBER, "size": NUMBER}
    return {name: known.get(name, TEXT) for name in names}


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return f"{value:.9f}"
    return str(value)


def stream(table: pa.Table) -> bytes:
    """Write a table as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=65_536)
    return bytes(sink.getvalue())


def to_arrow(table: pa.Table, columns: list[tuple[str, SnowType]]) -> pa.Table:
    """Turn what DuckDB gave into the shapes and metadata that Snowflake's clients expect."""
    arrays, fields = [], []
    for (name, kind), column in zip(columns, table.columns, strict=True):
        array = _shape(column.combine_chunks(), kind)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=_metadata(kind)))
    return pa.table(arrays, schema=pa.schema(fields))


def _metadata(kind: SnowType) -> dict[str, str]:
    logical = "TEXT" if kind.kind == "GEOGRAPHY" else kind.kind
    return {
        "logicalType": logical,
        "precision": str(kind.precision or 38),
        "scale": str(kind.scale),
        "charLength": str(kind.length),
        "byteLength": "16" if kind.kind.startswith("TIMESTAMP") else str(kind.length),
        "nullable": "Y",
        "finalType": "T",
    }


def _shape(array: Any, kind: SnowType) -> Any:
    match kind.kind:
        case "FIXED" if kind.scale == 0 and not pa.types.is_decimal(array.type):
            return array.cast(pa.int64())
        case "FIXED":
            return array.cast(pa.decimal128(38 if kind.scale == 0 else kind.precision, kind.scale))
        case "REAL":
            return array.cast(pa.float64())
        case "TIME":
            return array.cast(pa.time64("ns")).cast(pa.int64())
        case "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ":
            return _moment(array, kind)
        case "BINARY":
            return array.cast(pa.binary())
        case "BOOLEAN" | "DATE":
            return array
    return array.cast(pa.string())


def _moment(array: Any, kind: SnowType) -> Any:
    """Seconds and nanoseconds since 1970 as a struct; a zone of UTC is written as 1440."""
    unit = {"us": 1_000_000, "ns": 1_000_000_000}[array.type.unit]
    counts = array.cast(pa.int64())
    seconds = pc.divide(counts, unit)
    rest = pc.subtract(counts, pc.multiply(seconds, unit))
    before = pc.less(rest, 0)
    seconds = pc.if_else(before, pc.subtract(seconds, 1), seconds)
    rest = pc.if_else(before, pc.add(rest, unit), rest)
    nanos = pc.multiply(rest, 1_000_000_000 // unit).cast(pa.int32())
    parts, names = [seconds, nanos], ["epoch", "fraction"]
    if kind.kind == "TIMESTAMP_TZ":
        zone = pa.repeat(pa.scalar(1440, pa.int32()), len(array))
        parts, names = [*parts, zone], [*names, "timezone"]
    return pa.StructArray.from_arrays(parts, names=names, mask=array.is_null())


FLAG = BOOLEAN
