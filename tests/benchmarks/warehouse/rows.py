"""Rows as they go into a table of changes: ten columns of a source, and those that order them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

__all__ = ["SCHEMA", "SEQ", "different", "made", "read", "write"]

SEQ = "_ETL_SEQ"
SCHEMA = pa.schema(
    {
        "ID": pa.int64(),
        "QUANTITY": pa.int32(),
        "RATIO": pa.float64(),
        "PRICE": pa.decimal128(18, 4),
        "NAME": pa.string(),
        "PLACED": pa.timestamp("us", "UTC"),
        "PAID": pa.bool_(),
        "DAY": pa.date32(),
        "TAGS": pa.list_(pa.string()),
        "EXTRA": pa.struct({"k": pa.int32(), "note": pa.string()}),
        "_ETL_OP": pa.string(),
        SEQ: pa.string(),
        "_ETL_COMMIT_TS": pa.timestamp("us", "UTC"),
    }
)
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
#: Every so many prices and times are null.
_NULL = 10


def made(count: int) -> pa.Table:
    """Return so many rows, always the same, with rising seqs."""
    generator = random.Random(0)
    return pa.Table.from_pylist([_row(number, generator) for number in range(count)], SCHEMA)


def _row(number: int, generator: random.Random) -> dict[str, Any]:
    digits = f"{generator.getrandbits(108):027x}"
    moment = _EPOCH + timedelta(microseconds=generator.getrandbits(47))
    values = (
        number,
        generator.getrandbits(31),
        generator.getrandbits(53) / 1048576,
        None if number % _NULL == 3 else Decimal(generator.randrange(10**14)).scaleb(-4),
        digits[: 12 + number % 16],
        None if number % _NULL == 7 else moment,
        number % 2 == 0,
        date(2000, 1, 1) + timedelta(days=generator.getrandbits(13)),
        [digits[:4], digits[4:9]],
        {"k": generator.getrandbits(10), "note": digits[:8]},
        "i",
        f"{number + 1:040x}",
        moment,
    )
    return dict(zip(SCHEMA.names, values, strict=True))


def write(path: Path, rows: pa.Table) -> None:
    """Write rows for children to read."""
    with pa.ipc.new_file(str(path), rows.schema) as writer:
        writer.write_table(rows)


def read(path: str) -> pa.Table:
    """Read them."""
    with pa.ipc.open_file(path) as reader:
        return reader.read_all()


def different(found: pa.Table, wanted: pa.Table) -> str | None:
    """Say what is wrong about the rows of a table (in order), if anything is."""
    if found.num_rows != wanted.num_rows:
        return f"{found.num_rows} rows, not {wanted.num_rows}"
    names = [name for name, column in _unlike(found, wanted) if not column]
    return f"other values in {', '.join(names)}" if names else None


def _unlike(found: pa.Table, wanted: pa.Table) -> Iterator[tuple[str, bool]]:
    for field in wanted.schema:
        there, here = found.column(field.name), wanted.column(field.name)
        if pa.types.is_nested(field.type):
            yield field.name, [json.loads(text) for text in there.to_pylist()] == here.to_pylist()
        else:
            yield field.name, there.cast(field.type).equals(here)
