"""Values that are not numbers or times: text, bool, bytea, uuid, json.

Every function turns PostgreSQL's text output into one Arrow array, None into null. What is not such output
raises ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Values", "booleans", "byteas", "jsons", "texts", "uuids"]

Values = Sequence[str | None]

_FALSE_TRUE = pa.array(["f", "t"])
_NO_UUID = "00000000-0000-0000-0000-000000000000"


def texts(values: Values) -> pa.Array:
    """Return any type as PostgreSQL prints it."""
    return pa.array(values, pa.string())


def jsons(values: Values) -> pa.Array:
    """Return JSON documents as they are written, byte for byte."""
    return pa.ExtensionArray.from_storage(pa.json_(), texts(values))


def booleans(values: Values) -> pa.Array:
    """Return the values of `t` and `f`."""
    strings = texts(values)
    found = pc.index_in(strings, value_set=_FALSE_TRUE)
    if found.null_count != strings.null_count:
        raise ValueError("not a bool")
    return found.cast(pa.bool_())


def byteas(values: Values) -> pa.Array:
    """Return the bytes of the hex form (`bytea_output`)."""
    if not all(value is None or value.startswith("\\x") for value in values):
        raise ValueError("not a bytea in hex")
    return pa.array([None if value is None else bytes.fromhex(value[2:]) for value in values], pa.binary())


def uuids(values: Values) -> pa.Array:
    """Return UUIDs, decoded all at once."""
    if any(value is not None and len(value) != len(_NO_UUID) for value in values):
        raise ValueError("not a uuid")
    data = bytes.fromhex("".join([value or _NO_UUID for value in values]).replace("-", ""))
    if len(data) != 16 * len(values):
        raise ValueError("not a uuid")
    validity = texts(values).is_valid().buffers()[1]
    storage = pa.Array.from_buffers(pa.binary(16), len(values), [validity, pa.py_buffer(data)])
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)
