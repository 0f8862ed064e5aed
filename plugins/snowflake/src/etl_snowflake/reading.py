"""Landed rows read back as the loader handed them over: for the few that are refused late."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from etl_core import OLD_KEY, RESERVED, SEQ, UNCHANGED, reserved_schema
from etl_snowflake.client import Session
from etl_snowflake.control import Kept
from etl_snowflake.names import Names
from etl_snowflake.types import is_semi

__all__ = ["read_rows"]


def read_rows(session: Session, names: Names, kept: Kept, query: str, binds: Sequence[Any]) -> pa.Table:
    """Return the rows of a query of landed rows: the source's columns and the reserved ones.

    Values of ARRAY, OBJECT and VARIANT columns are JSON text.
    """
    data = [_shown(field) for field in kept.columns if field.name not in RESERVED]
    wanted = pa.schema([*data, *reserved_schema(kept.columns, kept.key)])
    columns = ", ".join(f"r.{names.column(field.name)}" for field in wanted)
    rows = session.execute(f"SELECT {columns} FROM ({query}) AS r", binds)
    arrays = [
        pa.array([_value(field.name, row[place]) for row in rows], field.type)
        for place, field in enumerate(wanted)
    ]
    return pa.Table.from_arrays(arrays, schema=wanted)


def _shown(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if is_semi(field.type) else field


def _value(name: str, value: Any) -> Any:
    if name == SEQ:
        return bytes.fromhex(value)
    return json.loads(value) if name in {UNCHANGED, OLD_KEY} and value is not None else value
