"""Streamed rows: NDJSON, matched to the table's columns by name."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.faults import Reject, Switches
from etl_snowflake.emulator.loading import Loaded, Value, load

_SOURCE = "emulator_lines"


def load_lines(cursor: Cursor, table: Table, body: bytes, switches: Switches) -> Loaded:
    """Write rows to a table; those that do not fit, and those that are to be rejected, are left out."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        return Loaded(0, 0)
    cursor.register(_SOURCE, pa.table({"line": pa.array(lines, pa.binary()).cast(pa.string())}))
    try:
        keys = _keys(cursor)
        pairs = {
            column.name: key for column in table.columns if (key := _match(column.name, keys)) is not None
        }
        values, source = _values(table, pairs, switches.binary)
        bad = _bad(table, pairs, switches.reject)
        return load(cursor, table, source, values, also_bad=bad)
    finally:
        cursor.unregister(_SOURCE)


def _keys(cursor: Cursor) -> list[str]:
    found = cursor.execute(f"SELECT DISTINCT unnest(json_keys(CAST(line AS JSON))) FROM {_SOURCE}")
    return [row[0] for row in found]


def _match(name: str, keys: list[str]) -> str | None:
    """Find a column's key: the name itself, or one that differs by case alone."""
    return name if name in keys else next((key for key in keys if key.upper() == name), None)


def _pointer(key: str) -> str:
    return "'/" + key.replace("~", "~0").replace("/", "~1").replace("'", "''") + "'"


def _values(table: Table, pairs: dict[str, str], binary: str) -> tuple[dict[str, Value], str]:
    texts, trees = [], []
    values = {}
    for column in table.columns:
        if column.name not in pairs:
            continue
        pointer = _pointer(pairs[column.name])
        if column.type.semi:
            trees.append(pointer)
            values[column.name] = Value(f"nullif(trees[{len(trees)}], 'null')", "JSON")
        else:
            texts.append(pointer)
            values[column.name] = Value(f"texts[{len(texts)}]", "VARCHAR", binary)
    parts = [
        f"json_extract_string(tree, [{', '.join(texts)}]) AS texts" if texts else "NULL AS texts",
        f"json_extract(tree, [{', '.join(trees)}]) AS trees" if trees else "NULL AS trees",
        "tree",
    ]
    return values, f"(SELECT {', '.join(parts)} FROM (SELECT CAST(line AS JSON) AS tree FROM {_SOURCE}))"


def _bad(table: Table, pairs: dict[str, str], rejects: list[Reject]) -> str:
    tests = ["FALSE"]
    for each in rejects:
        key = pairs.get(each.column)
        if each.table in {table.name, "*"} and key is not None:
            pattern = each.matching.replace("'", "''")
            tests.append(
                f"regexp_matches(coalesce(json_extract_string(tree, {_pointer(key)}), ''), '{pattern}')"
            )
    return "(" + " OR ".join(tests) + ")"


def unseal(fragment: dict[str, Any], get: Callable[[str], bytes | None], key: bytes) -> bytes | None:
    """Give the NDJSON of a fragment of a file that a client uploaded: AES-CTR around zstd."""
    blob = get(fragment["file_path"])
    if blob is None:
        return None
    start, length = fragment["fragment_start_byte_offset"], fragment["fragment_length_bytes"]
    cipher = Cipher(algorithms.AES(key), modes.CTR(base64.b64decode(fragment["iv_base64"])))
    plain = cipher.decryptor().update(blob[start : start + length])
    return decompress(plain)


def decompress(body: bytes) -> bytes:
    """Undo zstd, over all frames."""
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True)
    return bytes(reader.read())
