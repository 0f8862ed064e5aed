"""A binary copy decoded in C gives what a copy in text decoded in Python gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from cdc_harness import FakeContext
from decoder_driver import same_batches
from decoder_layouts import SAMPLES
from decoder_streams import chunks_of
from hypothesis import given
from hypothesis import strategies as st
from wire_messages import copied_row, copy_header, frame, notice

from etl_core import SEQ, SchemaError, Secret, pack_seq
from etl_pglib.testing import Database
from etl_pglib.types import TypeCatalog
from etl_postgres_cdc import _wire, decoding, reading
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.compiled import CompiledRows
from etl_postgres_cdc.events import Event
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.reading import Part

TYPES: dict[str, tuple[str, ...]] = {
    "bool": ("true", "false"),
    "bytea": (r"'\x'", r"'\x00ff'", "decode(repeat('ab', 5000), 'hex')"),
    "int2": ("-32768", "32767"),
    "int4": ("-2147483648", "2147483647"),
    "int8": ("-9223372036854775808", "9223372036854775807", "0"),
    "oid": ("0", "4294967295"),
    "float4": ("'NaN'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1", "'-0'"),
    "float8": ("'NaN'", "'Infinity'", "5e-324", "1.7976931348623157e308", "0.1", "'-0'"),
    "numeric(10,2)": ("-99999999.99", "0.01", "0", "10000"),
    "numeric(38,10)": (f"-{'9' * 28}.{'9' * 10}", "1e-10"),
    "numeric(38,38)": (f"0.{'9' * 38}", "-1e-38"),
    "numeric(5,-2)": ("123456", "-100"),
    "numeric(3,5)": ("0.00123",),
    "numeric(76,6)": (f"-{'9' * 70}.{'9' * 6}", "0.000001"),
    "numeric": ("'NaN'", "1.50", "-0.00000000001", f"{'9' * 200}"),
    "text": ("''", r"E'\t\n\\ \"'", "'NULL'", r"'\N'", "'🐘'", "repeat('é', 9000)"),
    "varchar(3)": ("'abc'", "''"),
    "char(5)": ("'ab'", "''"),
    "name": ("'n'",),
    '"char"': ("'c'", "''"),
    "date": ("'4713-01-01 BC'", "'5874897-12-31'", "'infinity'", "'-infinity'", "'2024-02-29'"),
    "time": ("'00:00'", "'23:59:59.999999'"),
    "timetz": ("'01:02:03.4+05:30'",),
    "timestamp": ("'infinity'", "'-infinity'", "'4713-01-01 BC'", "'2024-02-29 01:02:03.000004'"),
    "timestamptz": ("'infinity'", "'294246-12-31 23:59:59+00'", "'1883-11-18 12:03:58-07:52:58'"),
    "interval": ("'1 year 2 mons -3 days 04:05:06.000007'", "'0'"),
    "uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    "json": ("""'{"a": 1,"a":2 }'""", "' null '"),
    "jsonb": ("""'{"b":[1.50,"é"], "a":null}'""", "'1'"),
    "int4[]": ("'{1,NULL,3}'", "'{}'", "'[5:6]={7,8}'"),
    "text[]": ("""'{"a,b","NULL",NULL,"{}"}'""",),
    "timestamptz[]": ("'{2024-01-01,infinity}'",),
    "numeric(5,2)[]": ("'{1.5,-0.01}'",),
    "mood": ("'it''s'",),
    "price": ("1234.56",),
    "label": ("'x'",),
    "pair": ("(1, 'a \"b\"')",),
    "int4range": ("'[1,3]'", "'empty'"),
    "inet": ("'127.0.0.1'", "'10.0.0.0/8'"),
    "cidr": ("'10.0.0.0/8'",),
    "bit(5)": ("B'10101'",),
    "point": ("'(1,2.5)'",),
    "tsvector": ("'a fat cat'",),
    "regclass": ("'pg_class'", "0"),
    "pg_lsn": ("'16/B374D848'",),
    "money": ("12.34",),
}
MADE = (
    "create type mood as enum ('it''s')",
    "create domain price as numeric(6,2)",
    "create domain label as varchar(5)",
    "create type pair as (a int, b text)",
)
ROWS = 25


def make_table(pg: Database) -> None:
    """A table with a column of each type; each value appears, and nulls between."""
    columns = ", ".join(f'"c{number}" {kind}' for number, kind in enumerate(TYPES))
    rows = [
        ", ".join(
            "null" if (row + n) % 4 == 3 else values[(row + n) % len(values)]
            for n, values in enumerate(TYPES.values())
        )
        for row in range(ROWS)
    ]
    pg.execute(*MADE, f"create table t (id int primary key, {columns})")
    pg.execute(*(f"insert into t values ({number}, {values})" for number, values in enumerate(rows)))


@pytest.fixture
def catalog(pg: Database) -> Iterator[Catalog]:
    catalog = Catalog(Secret(pg.dsn), context())
    yield catalog
    catalog.close()


def context() -> Any:
    return FakeContext("copying", epoch=9)


def layout_of(catalog: Catalog, table: str = "t", as_text: tuple[str, ...] = ()) -> Layout:
    types = TypeCatalog.load(catalog.connection, as_text)
    rows = catalog.query(
        "select attname, atttypid::bigint, atttypmod from pg_attribute"
        f" where attrelid = 'public.{table}'::regclass and attnum > 0 order by attnum",
        doing="looking",
    )
    return Layout(tuple(row[0] for row in rows), tuple(types.resolve(oid, mod) for _, oid, mod in rows), ())


def part(table: str = "t") -> Part:
    return Part(f"FROM public.{table}", 77, 100)


def in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_wire", None)
    monkeypatch.setattr(decoding, "_compiled", None)


def read(
    catalog: Catalog, layout: Layout, skip: int = 0, table: str = "t"
) -> list[tuple[str, pa.RecordBatch]]:
    """Read with whichever decoder there is; the batches in one."""
    batches = list(reading.read(context(), catalog, layout, part(table), skip))
    for batch in batches:
        batch.validate(full=True)
    table_of_all = pa.Table.from_batches(batches, layout.full).combine_chunks()
    return [("", batch) for batch in table_of_all.to_batches()]


@pytest.mark.parametrize("pg_version", [16, 18])
@pytest.mark.parametrize("as_text", [(), ("numeric", "uuid", "timestamptz", "bytea")], ids=["", "as_text"])
def test_every_type(
    pg: Database, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, as_text: tuple[str, ...]
) -> None:
    make_table(pg)
    layout = layout_of(catalog, as_text=as_text)
    found = read(catalog, layout)
    in_python(monkeypatch)
    assert same_batches(found, read(catalog, layout))
    ((_, batch),) = found
    assert batch.column(SEQ).to_pylist() == [pack_seq(9, 77, 100 + number) for number in range(ROWS)]
    assert batch.column("id").to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("skip", [0, 3, ROWS - 1, ROWS, ROWS + 1])
def test_rows_that_were_read_before_are_left_out(
    pg: Database, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, skip: int, rows: int
) -> None:
    pg.execute(f"create table t as select n as id, 'row ' || n as v from generate_series(1, {ROWS}) n")
    for module in (reading, decoding):
        monkeypatch.setattr(module, "MAX_ROWS", rows)
    layout = layout_of(catalog)
    binary = list(reading.read(context(), catalog, layout, part(), skip))
    in_python(monkeypatch)
    text = list(reading.read(context(), catalog, layout, part(), skip))
    assert same_batches([("", batch) for batch in binary], [("", batch) for batch in text])
    assert sum(batch.num_rows for batch in binary) == max(0, ROWS - skip)


@pytest.mark.parametrize(
    ("type", "value"), [("numeric(5,2)", "'NaN'"), ("time", "'24:00'"), ("interval", "'9999999 hours'")]
)
def test_a_value_that_does_not_fit(
    pg: Database, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, type: str, value: str
) -> None:
    pg.execute(f"create table t (id int, v {type})", f"insert into t values (1, null), (2, {value})")
    layout = layout_of(catalog)
    with pytest.raises(SchemaError) as found:
        read(catalog, layout)
    in_python(monkeypatch)
    other = Catalog(Secret(pg.dsn), context())
    with pytest.raises(SchemaError) as expected:
        read(other, layout)
    other.close()
    assert (found.value.message, found.value.facts) == (expected.value.message, expected.value.facts)


def test_tables_without_rows_or_columns(
    pg: Database, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    pg.execute(
        "create table e (id int)", "create table t ()", "insert into t select from generate_series(1, 3)"
    )
    empty, columnless = layout_of(catalog, "e"), layout_of(catalog)
    found = read(catalog, columnless)
    assert found[0][1].num_rows == 3
    assert read(catalog, empty, table="e") == []
    in_python(monkeypatch)
    assert same_batches(found, read(catalog, columnless))
    assert read(catalog, empty, table="e") == []


# --- what the server may send in other ways -----------------------------------------------------------------

TEXTS = Layout(("v",), (SAMPLES["text"].kind,), ())
END = frame(b"c", b"") + frame(b"C", b"COPY 3\0") + frame(b"Z", b"I")


def copied(
    data: bytes, chunk: int = 0, skip: int = 0, max_rows: int = 100, max_bytes: int = 1 << 20
) -> list[Any]:
    """Take a copy: its events, and the values of each batch."""
    rows = CompiledRows(TEXTS)
    copier = _wire.Copier(rows, 1, 2, 0, skip, max_rows, max_bytes)
    seen: list[Any] = []
    for piece in chunks_of(data, chunk):
        copier.feed(piece)
        while happening := copier.run():
            seen.append((Event(happening[0]), rows.finish().column(0).to_pylist()))
    return seen


@given(
    st.lists(st.lists(st.none() | st.binary(max_size=3).map(lambda value: value.hex().encode())), max_size=5),
    st.booleans(),
    st.integers(0, 20),
    st.integers(0, 9),
)
def test_rows_may_share_messages(
    groups: list[list[bytes | None]], extended: bool, chunk: int, skip: int
) -> None:
    header = copy_header(b"more to come" if extended else b"")
    bodies = [b"".join(copied_row([value]) for value in group) for group in groups]
    bodies = [header + b"".join(bodies), b"\xff\xff"] if extended else [header, *bodies, b"\xff\xff"]
    data = frame(b"H", bytes(3)) + notice() + b"".join(frame(b"d", body) for body in bodies) + END
    values = [None if value is None else value.decode() for group in groups for value in group]
    assert copied(data, chunk, skip) == [(Event.ENDED, values[skip:])]


def test_a_copy_stops_at_its_limits() -> None:
    rows = [frame(b"d", copied_row([value])) for value in (b"a", b"b", b"c")]
    data = frame(b"d", copy_header()) + b"".join(rows) + frame(b"d", b"\xff\xff") + END
    assert copied(data, max_rows=2) == [(Event.FULL, ["a", "b"]), (Event.ENDED, ["c"])]
    assert copied(data, max_bytes=1)[0] == (Event.FULL, ["a"])
    assert copied(data, max_bytes=1, skip=2) == [(Event.FULL, ["c"]), (Event.ENDED, [])], (
        "skipped rows fill nothing"
    )


def test_an_error_of_the_server_is_handed_out() -> None:
    rows = CompiledRows(TEXTS)
    copier = _wire.Copier(rows, 1, 2, 0, 0, 10, 100)
    copier.feed(frame(b"d", copy_header() + copied_row([b"a"])) + frame(b"E", b"C57014\0\0") + END)
    assert copier.run() == (Event.FAILED, 0, b"C57014\0\0", False)
