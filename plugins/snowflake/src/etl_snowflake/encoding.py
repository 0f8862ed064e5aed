"""Arrow to JSON, columnwise. See `ndjson`."""

from __future__ import annotations

import pyarrow as pa

__all__ = ["hexed", "json_text", "ndjson", "unspeakable"]


def ndjson(rows: pa.Table) -> bytes:
    """Return one JSON object per row, each on a line. Raises SchemaError for what JSON cannot say."""
    raise NotImplementedError


def json_text(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    """Return each value as JSON text (null stays null): what nested values are in Parquet and in Snowflake."""
    raise NotImplementedError


def unspeakable(rows: pa.Table) -> str | None:
    """Return the first column that holds NaN or an infinity at any depth: those rows go in by COPY."""
    raise NotImplementedError


def hexed(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray:
    """Return binary values as text of lower-case hex digits (null stays null), without a Python object each."""
    raise NotImplementedError
