"""Which PostgreSQL type is which Arrow type, asked of real servers, and compared with what the docs say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from etl_core import Secret
from etl_core.errors import ConfigError, RetryableError, SchemaError
from etl_pglib.client import Connection, connect
from etl_pglib.testing import Database
from etl_pglib.types import RULES, PgType, TypeCatalog

DOCS = Path(__file__).parents[3] / "docs/reference/postgres-types.md"
UUID = "6b86b273-ff34-4ce1-9d6b-804eff5a3f57"


@pytest.fixture
def connection(pg: Database) -> Iterator[Connection]:
    with connect(Secret(pg.dsn), application_name="test") as connection:
        yield connection


def column(connection: Connection, sql_type: str, as_text: Iterable[str] = ()) -> PgType:
    """Resolve a column of this type as the stream does: by the table's oid and modifier."""
    connection.execute(f"DROP TABLE IF EXISTS public.c; CREATE TABLE public.c (v {sql_type})".encode())
    row = connection.execute(
        "SELECT atttypid::int8, atttypmod FROM pg_attribute "
        "WHERE attrelid = 'public.c'::regclass AND attnum = 1"
    ).fetchone()
    assert row
    return TypeCatalog.load(connection, list(as_text)).resolve(*row)


def printed(connection: Connection, literal: str, sql_type: str) -> str:
    with connection.cursor().copy(f"COPY (SELECT {literal}::{sql_type}) TO STDOUT".encode()) as copy:
        line = b"".join(bytes(part) for part in copy)
    return line.decode().rstrip("\n").encode("latin-1", "backslashreplace").decode("unicode_escape")


def documented(section: str) -> list[list[str]]:
    text = DOCS.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[1:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_docs_list_exactly_the_types_that_have_a_rule(connection: Connection) -> None:
    table = {
        names(row[0])[0]: names(row[1])[0] for row in documented("Types with an Arrow type of their own")
    }
    families = {name for name in table if "(" in name or "[]" in name}
    catalog = TypeCatalog.load(connection)
    rules = {catalog.resolve(oid).name: str(rule.arrow) for oid, rule in RULES.items()}
    assert rules == {name: arrow for name, arrow in table.items() if name not in families}
    assert {name: str(column(connection, name).arrow) for name in families} == {
        name: table[name] for name in families
    }


def test_every_type_the_docs_call_text_is_text(connection: Connection) -> None:
    missing = {"xml": "xml", "hstore": "hstore", "citext": "citext"}
    listed = [name for row in documented("Types that are text") for name in names(row[0])]
    arrows = {name: column(connection, name).arrow for name in listed if name not in missing}
    assert arrows == dict.fromkeys(arrows, pa.string())
    assert len(arrows) > 30


def test_every_other_built_in_type_is_text(connection: Connection) -> None:
    """A type that a later PostgreSQL adds is text; a type that is not in the table is not converted."""
    catalog = TypeCatalog.load(connection)
    rows = connection.execute(
        "SELECT oid::int8 FROM pg_type WHERE typtype IN ('b', 'r', 'm') AND typcategory <> 'A'"
    ).fetchall()
    others = [catalog.resolve(oid) for (oid,) in rows if oid not in RULES]
    assert {other.name for other in others if other.arrow != pa.string()} == set()
    assert len(others) > 50


VALUES = [
    ("numeric(10,2)", "'-0.07'", Decimal("-0.07")),
    ("numeric(5,-2)", "'-123456'", Decimal(-123500)),
    ("numeric(3,5)", "'0.00123'", Decimal("0.00123")),
    ("numeric(38,38)", f"'0.{'9' * 38}'", Decimal(f"0.{'9' * 38}")),
    ("numeric(76,6)", f"'-{'9' * 70}.{'9' * 6}'", Decimal(f"-{'9' * 70}.{'9' * 6}")),
    ("numeric", "'NaN'", "NaN"),
    ("numeric", "'-Infinity'", "-Infinity"),
    ("numeric", "'1e-100'", "0." + "0" * 99 + "1"),
    ("numeric(77,0)", "'1'", "1"),
    ("char(5)", "'ab'", "ab   "),
    ("timetz", "'01:02:03.4+05:30'", "01:02:03.4+05:30"),
    ("money", "'-1234.5'", "-$1,234.50"),
    ("bit(3)", "'101'", "101"),
    ("varbit", "'01'", "01"),
    ("inet", "'10.1.2.3/8'", "10.1.2.3/8"),
    ("cidr", "'10.0.0.0/8'", "10.0.0.0/8"),
    ("macaddr", "'08:00:2b:01:02:03'", "08:00:2b:01:02:03"),
    ("int4range", "'[1,3]'", "[1,4)"),
    ("int4multirange", "'{[1,3),[5,)}'", "{[1,3),[5,)}"),
    ("tsvector", "'a:1 b''c'", "'a':1 'b''c'"),
    ("pg_lsn", "'16/B374D848'", "16/B374D848"),
    ("point", "'(1.5,-2)'", "(1.5,-2)"),
    ("regclass", "'public.c'", "public.c"),
    ("int2vector", "'1 2'", "1 2"),
    ("public.mood", "'it''s \"ok\"'", 'it\'s "ok"'),
    ("public.pair", "(1,'a \"b\"')", '(1,"a ""b""")'),
    ("public.amounts", "'{1.5,NULL}'", [Decimal("1.50"), None]),
    ("public.deep", "'7'", 7),
    ("public.deep[]", "'{7,NULL}'", [7, None]),
    ("int4[]", "'[0:2]={1,NULL,3}'", [1, None, 3]),
    ("int4[]", "'{}'", []),
    ("numeric[]", "'{NaN,1.10}'", ["NaN", "1.10"]),
    ("bytea[]", r"ARRAY['\x00ff', '\x']", [b"\x00\xff", b""]),
    ("bool[]", "'{t,f,NULL}'", [True, False, None]),
    ("json[]", """ARRAY['{"a": "b,{}"}', NULL]""", ['{"a": "b,{}"}', None]),
    ("interval[]", "'{1 mon 2 days,NULL}'", [pa.MonthDayNano([1, 2, 0]), None]),
    ("box[]", "'{(1,2),(3,4);(5,6),(7,8)}'", ["(3,4),(1,2)", "(7,8),(5,6)"]),
    ("public.mood[]", "ARRAY['sad', NULL]", ["sad", None]),
    ("public.pair[]", "ARRAY[(1,'a,b')]", ['(1,"a,b")']),
    (
        "varchar(5)[]",
        """ARRAY['NULL', 'null', NULL, '', '"\\', 'a b']""",
        ["NULL", "null", None, "", '"\\', "a b"],
    ),
]


@pytest.mark.parametrize("pg_version", [16, pytest.param(18, marks=pytest.mark.slow)])
def test_values_of_every_kind_of_type(connection: Connection) -> None:
    connection.execute(
        """
        CREATE TYPE public.mood AS ENUM ('sad', 'it''s "ok"');
        CREATE TYPE public.pair AS (n int, t text);
        CREATE DOMAIN public.shallow AS int CHECK (value > 0);
        CREATE DOMAIN public.deep AS public.shallow;
        CREATE DOMAIN public.amounts AS numeric(5,2)[];
        """
    )
    found = []
    for sql_type, literal, _ in VALUES:
        pg_type = column(connection, sql_type)
        array = pg_type.parse([None, printed(connection, literal, sql_type)])
        array.validate(full=True)
        assert array.type == pg_type.arrow
        found.append((sql_type, literal, array.to_pylist()))
    assert found == [(sql_type, literal, [None, value]) for sql_type, literal, value in VALUES]


REFUSED = [
    ("numeric(10,2)", "'NaN'"),
    ("numeric(76,6)", "'NaN'"),
    ("int4[]", "'{{1,2},{3,4}}'"),
    ("int4[]", "'[0:1][0:1]={{1,2},{3,4}}'"),
    ("text[]", """'{{"a b",c}}'"""),
    ("numeric(4,1)[]", "'{1.5,NaN}'"),
]


@pytest.mark.parametrize(("sql_type", "literal"), REFUSED)
def test_what_arrow_has_not_is_refused_and_as_text_is_the_way_out(
    connection: Connection, sql_type: str, literal: str
) -> None:
    text = printed(connection, literal, sql_type)
    pg_type = column(connection, sql_type)
    with pytest.raises(SchemaError) as raised:
        pg_type.parse([text], "v")
    hint = re.search(r"as_text: \[(.+)\] ", str(raised.value.hint))
    assert hint
    assert column(connection, sql_type, [hint[1]]).parse([text]).to_pylist() == [text]
    assert text not in f"{raised.value} {raised.value.hint} {raised.value.facts}"


def test_as_text_takes_domains_and_arrays_of_the_type_along(connection: Connection) -> None:
    connection.execute("CREATE DOMAIN public.price AS numeric(5,2)")
    assert column(connection, "public.price", ["numeric"]).arrow == pa.string()
    assert column(connection, "numeric(5,2)[]", ["pg_catalog.numeric"]).arrow == pa.list_(pa.string())
    assert column(connection, "public.price", ["public.price"]).arrow == pa.string()
    assert column(connection, "numeric(5,2)", ["public.price"]).arrow == pa.decimal128(5, 2)


@pytest.mark.parametrize("name", ["mood", "no such", "'; DROP TABLE c", "public."])
def test_as_text_with_a_name_that_is_no_type(connection: Connection, name: str) -> None:
    with pytest.raises(ConfigError, match="as_text names a type") as raised:
        TypeCatalog.load(connection, [name])
    assert raised.value.facts["found"] == name


def test_a_type_made_after_loading_is_found_and_one_that_is_gone_is_text(connection: Connection) -> None:
    catalog = TypeCatalog.load(connection)
    connection.execute("CREATE DOMAIN public.late AS int; CREATE TABLE public.t (v public.late[])")
    row = connection.execute("SELECT atttypid::int8 FROM pg_attribute WHERE attname = 'v'").fetchone()
    assert row
    assert catalog.resolve(row[0]).arrow == pa.list_(pa.int32())
    connection.execute("DROP TABLE public.t; DROP DOMAIN public.late")
    gone = TypeCatalog.load(connection).resolve(row[0])
    assert (gone.arrow, gone.parse(["{1}"]).to_pylist()) == (pa.string(), ["{1}"])


def test_known_types_need_no_server(connection: Connection) -> None:
    catalog = TypeCatalog.load(connection)
    connection.close()
    assert catalog.resolve(1184) is catalog.resolve(1184)
    assert catalog.resolve(1231, (10 << 16) + 4 + 2).arrow == pa.list_(pa.decimal128(10, 2))
    with pytest.raises(RetryableError):
        catalog.resolve(4_000_000_000)


def test_a_type_prints_without_its_insides(connection: Connection) -> None:
    pg_type = TypeCatalog.load(connection).resolve(2950)
    assert pg_type == TypeCatalog.load(connection).resolve(2950)
    assert "convert" not in repr(pg_type)
    assert pg_type.parse([]).to_pylist() == []
    assert str(pg_type.parse([UUID])[0]) == UUID
