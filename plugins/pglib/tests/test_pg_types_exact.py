"""Values go into PostgreSQL in binary, come out as text, and have to be the same values in Arrow."""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pytest
from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_core import Secret
from etl_core.errors import SchemaError
from etl_pglib.client import Connection, connect
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.types import TypeCatalog

_EPOCH_DAYS = 10_957
_EPOCH_MICROS = 946_684_800_000_000
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_INT32 = st.integers(-(2**31), 2**31 - 1)
_INT64 = st.integers(-(2**63), 2**63 - 1)


def copy_in(connection: Connection, sql_type: str, values: Iterable[bytes | None]) -> None:
    rows = [
        b"\0\1" + (struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value)
        for value in values
    ]
    connection.execute(f"CREATE TEMP TABLE t (n serial, v {sql_type})".encode())
    with connection.cursor().copy("COPY t (v) FROM STDIN (FORMAT binary)") as copy:
        copy.write(_HEADER + b"".join(rows) + struct.pack(">h", -1))


def unescape(text: str) -> str | None:
    if text == "\\N":
        return None
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def copy_out(connection: Connection) -> list[str | None]:
    with connection.cursor().copy("COPY (SELECT v FROM t ORDER BY n) TO STDOUT") as copy:
        return [unescape(bytes(line).decode().rstrip("\n")) for line in copy]


def infinite(value: int, bits: int) -> int | None:
    """PostgreSQL's infinities are the ends of the integer, ours end one above the lower end."""
    end = 2 ** (bits - 1)
    return {end - 1: end - 1, 1 - end: -end}.get(value)


def pack_date(value: int) -> bytes:
    special = infinite(value, 32)
    return struct.pack(">i", value - _EPOCH_DAYS if special is None else special)


def pack_stamp(value: int) -> bytes:
    special = infinite(value, 64)
    return struct.pack(">q", value - _EPOCH_MICROS if special is None else special)


def pack_interval(value: pa.MonthDayNano) -> bytes:
    assert value.nanoseconds % 1000 == 0
    return struct.pack(">qii", value.nanoseconds // 1000, value.days, value.months)


def pack_float(code: str) -> Callable[[float], bytes]:
    return lambda value: struct.pack(code, math.nan if math.isnan(value) else value)


def packed(code: str) -> Callable[[Any], bytes]:
    return lambda value: struct.pack(code, value)


@frozen
class Case:
    name: str
    values: st.SearchStrategy[bytes]
    pack: Callable[[Any], bytes]
    #: What is compared: the array's own values, or those of another Arrow type of the same bytes.
    raw: pa.DataType | None = None


def _floats(code: str, width: int) -> st.SearchStrategy[bytes]:
    return st.floats(width=width).map(pack_float(code))  # type: ignore[arg-type]


_DATES = st.one_of(
    st.integers(-2_451_545, 2_145_031_948),
    st.integers(-1_000_000, 1_000_000),
    st.sampled_from([2**31 - 1, -(2**31), -2_451_545, 2_145_031_948, -730_487, -730_120]),
)
_LAST_STAMP = 2**63 - 2 - _EPOCH_MICROS
_STAMPS = st.one_of(
    st.integers(-211_813_488_000_000_000, _LAST_STAMP),
    st.integers(-(10**17), 10**17),
    st.sampled_from([2**63 - 1, -(2**63), -211_813_488_000_000_000, _LAST_STAMP]),
)
_NANOS = 9_223_372_036_854_775
_INTERVALS = st.tuples(st.integers(-_NANOS, _NANOS), _INT32, _INT32)

CASES = [
    Case("bool", st.booleans().map(packed(">?")), packed(">?")),
    Case("int2", st.integers(-(2**15), 2**15 - 1).map(packed(">h")), packed(">h")),
    Case("int4", _INT32.map(packed(">i")), packed(">i")),
    Case("int8", _INT64.map(packed(">q")), packed(">q")),
    Case("oid", st.integers(0, 2**32 - 1).map(packed(">I")), packed(">I")),
    Case("float4", _floats(">f", 32), pack_float(">f")),
    Case("float8", _floats(">d", 64), pack_float(">d")),
    Case("bytea", st.binary(max_size=40), bytes),
    Case("uuid", st.binary(min_size=16, max_size=16), lambda value: value.bytes),
    Case("date", _DATES.map(packed(">i")), pack_date, pa.int32()),
    Case("time", st.integers(0, 86_399_999_999).map(packed(">q")), packed(">q"), pa.int64()),
    Case("timestamp", _STAMPS.map(packed(">q")), pack_stamp, pa.int64()),
    Case("timestamptz", _STAMPS.map(packed(">q")), pack_stamp, pa.int64()),
    Case("interval", _INTERVALS.map(lambda parts: struct.pack(">qii", *parts)), pack_interval),
    Case("text", st.text(st.characters(exclude_characters="\0", codec="utf-8")).map(str.encode), str.encode),
    Case("json", st.sampled_from([b'{"a": 1,"a":2 }', b"[1e999]", b'"\\u00e9"', b" null "]), str.encode),
]


@pytest.fixture
def connection(pg_server: EmbeddedPostgres) -> Iterable[Connection]:
    """A session that leaves nothing behind but its temporary tables, which go with it."""
    with connect(Secret(pg_server.dsn), application_name="test") as connection:
        yield connection


def parsed(connection: Connection, name: str) -> pa.Array:
    pg_type = TypeCatalog.load(connection).resolve(_oid(connection, name))
    array = pg_type.parse(copy_out(connection), "v")
    array.validate(full=True)
    assert array.type == pg_type.arrow
    return array


def _oid(connection: Connection, name: str) -> int:
    row = connection.execute("SELECT %s::regtype::oid::int8", [name]).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("pg_version", [16, pytest.param(18, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_value_is_the_same_in_arrow(connection: Connection, case: Case, data: st.DataObject) -> None:
    sent = data.draw(st.lists(st.none() | case.values, max_size=40))
    with connection.transaction(force_rollback=True):
        copy_in(connection, case.name, sent)
        array = parsed(connection, case.name)
    values = (array.cast(case.raw) if case.raw else array).to_pylist()
    assert [None if value is None else case.pack(value) for value in values] == sent


BEYOND = [
    ("timestamp", struct.pack(">q", _LAST_STAMP + 1)),
    ("timestamptz", struct.pack(">q", 9_223_371_331_199_999_999)),
    ("time", struct.pack(">q", 86_400_000_000)),
    ("interval", struct.pack(">qii", (_NANOS + 1), 0, 0)),
    ("interval", struct.pack(">qii", -(2**63), 0, 1)),
]


@pytest.mark.parametrize(("name", "value"), BEYOND)
def test_what_arrow_cannot_hold_is_said_with_type_and_column(
    connection: Connection, name: str, value: bytes
) -> None:
    copy_in(connection, name, [value])
    with pytest.raises(SchemaError) as raised:
        parsed(connection, name)
    assert raised.value.facts["column"] == "v"
    assert f"as_text: [{raised.value.facts['type']}]" in str(raised.value.hint)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("pg_version", [18])
@pytest.mark.parametrize("sign", ["", "-"])
def test_an_infinite_interval_is_not_made_a_finite_one(connection: Connection, sign: str) -> None:
    connection.execute(f"CREATE TEMP TABLE t AS SELECT 1 AS n, interval '{sign}infinity' AS v".encode())
    with pytest.raises(SchemaError):
        parsed(connection, "interval")


def test_an_extension_value_is_what_python_calls_it(connection: Connection) -> None:
    copy_in(connection, "uuid", [bytes(16), None])
    assert parsed(connection, "uuid").to_pylist() == [uuid.UUID(int=0), None]
