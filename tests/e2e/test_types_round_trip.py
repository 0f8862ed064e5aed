"""Every PostgreSQL type arrives in DuckDB by value, and the same from the snapshot as from the stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from attrs import frozen
from support.live import Copy
from support.servers import database, installed, installed_server
from support.shop import Shop

from etl_core import SchemaError
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database, drop_database

pytestmark = pytest.mark.timeout(120)

UUID = "6b86b273-ff34-4ce1-9d6b-804eff5a3f57"
TZ = "TIMESTAMP WITH TIME ZONE"


@frozen
class Case:
    """A column: its type here and there, and values as SQL of either side (None: the same SQL)."""

    postgres: str
    duckdb: str
    values: tuple[tuple[str, str | None], ...]


def case(postgres: str, duckdb: str, *values: str | tuple[str, str]) -> Case:
    return Case(postgres, duckdb, tuple((v, None) if isinstance(v, str) else v for v in values))


CASES = [
    case("bool", "BOOLEAN", "true", "false"),
    case('"char"', "VARCHAR", "'x'", "''", r"'\377'"),
    case("int2", "SMALLINT", "-32768", "32767"),
    case("int4", "INTEGER", "-2147483648", "2147483647"),
    case("int8", "BIGINT", "-9223372036854775808", "9223372036854775807"),
    case("oid", "BIGINT", "4294967295", "0"),
    case("float4", "FLOAT", "'NaN'", "'-Infinity'", "1e-45", "3.4028235e38", "0.1", "'-0'"),
    case("float8", "DOUBLE", "'NaN'", "'Infinity'", "5e-324", "1e-310", "0.1", "'-0'"),
    case("float8", "DOUBLE", "1.7976931348623157e308", "-2.2250738585072014e-308"),
    case("numeric(10,2)", "DECIMAL(10,2)", "-99999999.99", "0.01"),
    case("numeric(38,10)", "DECIMAL(38,10)", f"-{'9' * 28}.{'9' * 10}"),
    case("numeric(5,-2)", "DECIMAL(7,0)", ("123456", "123500")),
    case("numeric(3,5)", "DECIMAL(5,5)", "0.00123"),
    case("numeric(76,6)", "VARCHAR", f"'-{'9' * 70}.{'9' * 6}'", "'0.000001'"),
    case("numeric(100,2)", "VARCHAR", "'1.50'", "'NaN'"),
    case("numeric", "VARCHAR", "'NaN'", "'-Infinity'", "'1.50'", f"'{'9' * 200}'"),
    case("text", "VARCHAR", "''", "'é\t\n\\ \"'", "'NULL'", "'\\N'", "repeat('TOAST', 3000)"),
    case("varchar(3)", "VARCHAR", "'abc'"),
    case("varchar", "VARCHAR", "'  a  '", "repeat('é', 5000)"),
    case("char(5)", "VARCHAR", ("'ab'", "'ab   '")),
    case("bpchar", "VARCHAR", "'ab  '"),
    case("name", "VARCHAR", "'n'"),
    case("bytea", "BLOB", ("'\\x00ff5c'", "'\\x00\\xff\\x5c'"), "''"),
    case("date", "DATE", ("'4713-01-01 BC'", "'4713-01-01 (BC)'"), "'infinity'", "'-infinity'"),
    case("date", "DATE", "'5874897-12-31'", "'2024-02-29'", "'0001-01-01'", "'9999-12-31'"),
    case("time", "TIME", "'00:00'", "'23:59:59.999999'"),
    case("time(0)", "TIME", ("'23:59:58.7'", "'23:59:59'")),
    case("timetz", "VARCHAR", "'01:02:03.4+05:30'", ("'24:00-15:59'", "'24:00:00-15:59'")),
    case("timestamp", "TIMESTAMP", "'infinity'", "'-infinity'", "'2024-02-29 01:02:03.000004'"),
    case("timestamp(0)", "TIMESTAMP", ("'4713-01-01 BC'", "'4713-01-01 (BC) 00:00:00'")),
    case("timestamp(0)", "TIMESTAMP", "'294246-12-31 23:59:59'", "'0001-01-01'"),
    case("timestamp", "TIMESTAMP", "'294247-01-10 04:00:54.775806'", "'1969-12-31 23:59:59.999999'"),
    case("timestamptz", TZ, "'infinity'", "'-infinity'", "'2024-02-29 01:02:03.5+05:30'"),
    case("timestamptz", TZ, ("'0044-03-15 BC'", "'0044-03-15 (BC) 00:00:00+00'")),
    case("interval", "INTERVAL", "'1 year 2 mons -3 days 04:05:06.000007'", "'-178000000 years'", "'0'"),
    case("interval", "INTERVAL", "'-2562047 hours'", "'1 month -30 days'", "'2147483647 days'"),
    case("uuid", "UUID", f"'{UUID}'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    case("json", "JSON", """'{"a": 1,"a":2 }'""", "' null '", "'[1e999]'"),
    case("jsonb", "JSON", ("""'{"b":[1.50,"é"], "a":null}'""", """'{"a": null, "b": [1.50, "é"]}'""")),
    case("bool[]", "BOOLEAN[]", ("'{t,f,NULL}'", "[true,false,NULL]")),
    case("int2[]", "SMALLINT[]", ("'{-32768,32767}'", "[-32768,32767]")),
    case("int8[]", "BIGINT[]", ("'{-9223372036854775808,NULL}'", "[-9223372036854775808,NULL]")),
    case("float4[]", "FLOAT[]", ("'{NaN,-Infinity,1e-45}'", "['NaN','-Infinity',1e-45]")),
    case("float8[]", "DOUBLE[]", ("'{Infinity,5e-324,-0}'", "['Infinity',5e-324,'-0']")),
    case("date[]", "DATE[]", ("'{infinity,0001-01-01}'", "['infinity','0001-01-01']")),
    case("time[]", "TIME[]", ("'{00:00,23:59:59.999999}'", "['00:00','23:59:59.999999']")),
    case("timestamp[]", "TIMESTAMP[]", ("'{-infinity,NULL}'", "['-infinity',NULL]")),
    case("interval[]", "INTERVAL[]", ("'{1 mon -1 days,0}'", "['1 month -1 days','0']")),
    case("numeric[]", "VARCHAR[]", ("'{NaN,1.50,NULL}'", "['NaN','1.50',NULL]")),
    case("json[]", "JSON[]", ("""ARRAY['{"a": 1}'::json, NULL]""", """['{"a": 1}',NULL]""")),
    case("varchar(3)[]", "VARCHAR[]", ("'{abc,\"\"}'", "['abc','']")),
    case("char(3)[]", "VARCHAR[]", ("'{a}'", "['a  ']")),
    case("inet[]", "VARCHAR[]", ("'{::1,10.0.0.1/8}'", "['::1','10.0.0.1/8']")),
    case("int4range[]", "VARCHAR[]", ("ARRAY['[1,3]'::int4range]", "['[1,4)']")),
    case("int4[]", "INTEGER[]", ("'{1,NULL,3}'", "[1,NULL,3]"), ("'{}'", "[]"), ("'[5:6]={7,8}'", "[7,8]")),
    case("text[]", "VARCHAR[]", ("""'{"a,b","NULL",NULL,"{}"}'""", "['a,b','NULL',NULL,'{}']")),
    case("numeric(5,2)[]", "DECIMAL(5,2)[]", ("'{1.5,-0.01}'", "[1.5,-0.01]")),
    case("timestamptz[]", f"{TZ}[]", ("'{2024-01-01,infinity}'", "['2024-01-01 00:00:00+00','infinity']")),
    case("uuid[]", "UUID[]", (f"'{{{UUID},NULL}}'", f"['{UUID}',NULL]")),
    case("jsonb[]", "JSON[]", ("""ARRAY['{"a":1}'::jsonb]""", """['{"a": 1}']""")),
    case("bytea[]", "BLOB[]", ("ARRAY['\\x00ff'::bytea]", "['\\x00\\xff'::BLOB]")),
    case("mood", "VARCHAR", "'it''s'"),
    case("mood[]", "VARCHAR[]", ("'{sad,NULL}'", "['sad',NULL]")),
    case("price", "DECIMAL(6,2)", "1234.56"),
    case("price[]", "DECIMAL(6,2)[]", ("'{1.5,NULL}'", "[1.5,NULL]")),
    case("prices", "DECIMAL(6,2)[]", ("'{1.5}'", "[1.5]")),
    case("dear", "DECIMAL(6,2)", "9999.99"),
    case("pair", "VARCHAR", ("(1,'a \"b\"')", '\'(1,"a ""b""")\'')),
    case("pair[]", "VARCHAR[]", ("ARRAY[(1,'a')::pair, NULL]", "['(1,a)',NULL]")),
    case("int4range", "VARCHAR", ("'[1,3]'", "'[1,4)'"), "'empty'", "'(,)'"),
    case("int8range", "VARCHAR", ("'[-9223372036854775808,]'", "'[-9223372036854775808,)'")),
    case("numrange", "VARCHAR", "'(1.50,)'", "'[NaN,NaN]'"),
    case("daterange", "VARCHAR", ("'[2024-01-01,infinity]'", "'[2024-01-01,infinity]'")),
    case("tsrange", "VARCHAR", ("'(,2024-01-01]'", """'(,"2024-01-01 00:00:00"]'""")),
    case("tstzrange", "VARCHAR", ("'[-infinity,)'", "'[-infinity,)'")),
    case("int4multirange", "VARCHAR", ("'{[1,3],[5,6)}'", "'{[1,4),[5,6)}'"), "'{}'"),
    case("int8multirange", "VARCHAR", ("'{[1,1]}'", "'{[1,2)}'")),
    case("nummultirange", "VARCHAR", "'{[1.5,2.50)}'"),
    case("datemultirange", "VARCHAR", ("'{[2024-01-01,2024-01-01]}'", "'{[2024-01-01,2024-01-02)}'")),
    case("tsmultirange", "VARCHAR", ("'{(,2024-01-01)}'", """'{(,"2024-01-01 00:00:00")}'""")),
    case("tstzmultirange", "VARCHAR", ("""'{[2024-01-01,)}'""", """'{["2024-01-01 00:00:00+00",)}'""")),
    case("inet", "VARCHAR", "'10.1.2.3/8'", "'::1'"),
    case("cidr", "VARCHAR", "'10.0.0.0/8'"),
    case("macaddr", "VARCHAR", "'08:00:2b:01:02:03'"),
    case("macaddr8", "VARCHAR", "'08:00:2b:01:02:03:04:05'"),
    case("money", "VARCHAR", ("-1234.5", "'-$1,234.50'")),
    case("money", "VARCHAR", ("'-92233720368547758.08'", "'-$92,233,720,368,547,758.08'")),
    case("bit", "VARCHAR", "'1'"),
    case("bit(3)", "VARCHAR", "'101'"),
    case("varbit", "VARCHAR", "'0110'"),
    case("tsvector", "VARCHAR", ("'b:1 a'", "'''a'' ''b'':1'")),
    case("tsquery", "VARCHAR", ("'a & b'", "'''a'' & ''b'''")),
    case("jsonpath", "VARCHAR", ("'$.a'", "'$.\"a\"'")),
    case("pg_lsn", "VARCHAR", "'16/B374D848'"),
    case("point", "VARCHAR", "'(1.5,-2)'"),
    case("point", "VARCHAR", "'(NaN,Infinity)'"),
    case("line", "VARCHAR", "'{1,-1,0}'"),
    case("lseg", "VARCHAR", "'[(0,0),(1,1)]'"),
    case("box", "VARCHAR", "'(1,1),(0,0)'"),
    case("path", "VARCHAR", "'[(0,0),(1,1)]'", "'((0,0),(1,1))'"),
    case("circle", "VARCHAR", "'<(1,2),3>'"),
    case("polygon", "VARCHAR", "'((0,0),(1,1),(2,0))'"),
    case("box[]", "VARCHAR[]", ("'{(1,2),(3,4);(5,6),(7,8)}'", "['(3,4),(1,2)','(7,8),(5,6)']")),
    case("regclass", "VARCHAR", ("'everything'", "'public.everything'")),
    case("regtype", "VARCHAR", ("'int8'", "'bigint'")),
    case("regproc", "VARCHAR", "'now'"),
    case("regprocedure", "VARCHAR", "'now()'"),
    case("regoper", "VARCHAR", "'||/'"),
    case("regoperator", "VARCHAR", "'+(integer,integer)'"),
    case("regconfig", "VARCHAR", "'english'"),
    case("regdictionary", "VARCHAR", "'simple'"),
    case("regnamespace", "VARCHAR", "'public'"),
    case("regrole", "VARCHAR", "'postgres'"),
    case("regcollation", "VARCHAR", ("'\"C\"'", "'\"C\"'")),
    case("xid", "VARCHAR", "'4294967295'"),
    case("xid8", "VARCHAR", "'18446744073709551615'"),
    case("cid", "VARCHAR", "'4294967295'"),
    case("tid", "VARCHAR", "'(4294967295,65535)'"),
    case("pg_snapshot", "VARCHAR", "'10:20:10,14'"),
    case("txid_snapshot", "VARCHAR", "'10:20:'"),
    case("int2vector", "VARCHAR", "'1 -2'"),
    case("oidvector", "VARCHAR", "'1 4294967295'"),
    case("refcursor", "VARCHAR", "'c'"),
    case("aclitem", "VARCHAR", "'postgres=r/postgres'"),
]
TYPES = (
    "create type mood as enum ('sad', 'it''s')",
    "create type pair as (n int, t text)",
    "create domain price as numeric(6,2) check (value > 0)",
    "create domain dear as price check (value > 1000)",
    "create domain prices as numeric(6,2)[]",
)
ROWS = max(len(case.values) for case in CASES)


def create(shop: Shop) -> None:
    columns = ", ".join(f"c{n} {case.postgres}" for n, case in enumerate(CASES))
    shop.database.execute(*TYPES, f"create table everything (id int primary key, {columns})")
    insert(shop, 0)


def insert(shop: Shop, first: int) -> None:
    """One row per number of value; columns that have no such value are null, and so is the last row."""
    for n in range(ROWS + 1):
        row = [case.values[n][0] if n < len(case.values) else "null" for case in CASES]
        shop.database.execute(f"insert into everything values ({first + n}, {', '.join(row)})")


def expected(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """What the SQL of the cases is in DuckDB's own words, by column and row."""
    found = []
    for case in CASES:
        sql = [there or here for here, there in case.values] + ["null"] * (ROWS + 1 - len(case.values))
        literals = ", ".join(f"({value})::{case.duckdb}::varchar" for value in sql)
        row = connection.execute(f"select {literals}").fetchone()
        assert row
        found.append({"type": case.postgres, "duckdb": case.duckdb, "values": list(row)})
    return found


def arrived(connection: duckdb.DuckDBPyConnection, first: int) -> list[dict[str, Any]]:
    found = []
    for n, case in enumerate(CASES):
        rows = connection.execute(
            f"select typeof(c{n}), c{n}::varchar from public.everything where id between ? and ? order by id",
            [first, first + ROWS],
        ).fetchall()
        found.append({"type": case.postgres, "duckdb": rows[0][0], "values": [value for _, value in rows]})
    return found


@pytest.fixture(scope="module")
def installed_15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The oldest version that is served, which no wheel has."""
    programs = installed(15)
    if programs is None:
        pytest.skip("no installed PostgreSQL 15: its types were not tried")
    with installed_server(tmp_path_factory.mktemp("server"), 15, programs) as server:
        yield server


@pytest.fixture(params=[15, 16, pytest.param(18, marks=pytest.mark.slow)])
def source(request: pytest.FixtureRequest, pg_servers: Any) -> Iterator[Database]:
    """A database of each version."""
    oldest = request.param == 15
    server = request.getfixturevalue("installed_15") if oldest else pg_servers.get(request.param)
    with database(server) as found:
        yield found


#: What a server makes and does not take, by its name; and xml, which few builds have (it has its own test).
INTERNAL = {
    *("gtsvector", "pg_brin_bloom_summary", "pg_brin_minmax_multi_summary", "pg_dependencies"),
    *("pg_mcv_list", "pg_ndistinct", "pg_node_tree", "xml"),
}


def not_tried(database: Database) -> set[str]:
    """Return the built-in types that no column of the table has."""
    rows = database.query(
        "select typname from pg_type t where typnamespace = 'pg_catalog'::regnamespace"
        " and typtype in ('b', 'e', 'r', 'm') and typsubscript <> 'array_subscript_handler'::regproc"
        " and not exists (select from pg_attribute where attrelid = 'everything'::regclass"
        " and atttypid = t.oid)"
    )
    return {name for (name,) in rows} - INTERNAL


def test_snapshot_and_stream_bring_every_value(source: Database, tmp_path: Path) -> None:
    pg, shop = source, Shop(source, tmp_path).write()
    create(shop)
    assert not_tried(pg) == set()
    shop.once()
    insert(shop, 100)
    insert(shop, 200)
    pg.execute("update everything set id = id + 100 where id >= 200")
    shop.once()
    with duckdb.connect(str(shop.file), read_only=True) as connection:
        wanted = expected(connection)
        for first in (0, 100, 300):
            assert arrived(connection, first) == wanted
        assert connection.execute("select count(*) from public.everything").fetchone() == (3 * (ROWS + 1),)


def test_a_value_without_a_place_stops_the_snapshot_and_as_text_is_the_way_out(
    pg: Any, tmp_path: Path
) -> None:
    shop = Shop(pg, tmp_path).write()
    pg.execute("create table t (id int primary key, v numeric(5,2), a int[])")
    pg.execute("insert into t values (1, 'NaN', null), (2, 1.5, '{{1,2},{3,4}}')")
    printed = shop.once(expect=1)
    assert "a value cannot be held exactly by its Arrow type" in printed
    assert "as_text: [numeric]" in printed
    assert "NaN" not in printed
    shop.write(extract={"as_text": ["numeric", "integer[]"]})
    shop.once()
    assert shop.mirror("t") == [(1, "NaN", None), (2, "1.50", "{{1,2},{3,4}}")]


def test_a_value_without_a_place_stops_the_stream_where_it_is(pg: Any, tmp_path: Path) -> None:
    pg.execute("create table t (id int primary key, v numeric(5,2))", "insert into t values (0, 0.5)")
    shop = Shop(pg, tmp_path).write()
    shop.once()
    pg.execute("insert into t values (1, 'NaN'); update t set v = 7 where id = 0")
    assert "as_text: [numeric]" in shop.once(expect=1)
    assert len(shop.mirror("t")) == 1
    shop.write(extract={"as_text": ["numeric"]})
    shop.once()
    assert shop.mirror("t") == [(0, "7.00"), (1, "NaN")]


#: Types, a value that their Arrow type cannot hold, how `as_text` names them and what it then is.
WITHOUT_PLACE = [
    ("time", "24:00", "time", "24:00:00"),
    ("timestamp", "294276-12-31 23:59:59.999999", "timestamp", "294276-12-31 23:59:59.999999"),
    ("timestamptz", "294247-01-10 04:00:54.775807Z", "timestamptz", "294247-01-10 04:00:54.775807+00"),
    ("interval", "1 day 2562047:47:17", "interval", "1 day 2562047:47:17"),
    ("numeric(38,2)", "NaN", "numeric", "NaN"),
    ("float8[]", "{{1,NaN}}", "float8[]", "{{1,NaN}}"),
    ("timestamp[]", "{294276-12-31}", "timestamp", ["294276-12-31 00:00:00"]),
]


@pytest.mark.parametrize(("kind", "value", "as_text", "text"), WITHOUT_PLACE)
def test_an_extreme_without_a_place_stops_either_way_and_text_takes_it(
    pg: Database, tmp_path: Path, kind: str, value: str, as_text: str, text: object
) -> None:
    pg.execute(f"create table t (id int primary key, v {kind})", f"insert into t values (1, '{value}')")
    copied, followed = (Copy(pg, tmp_path, name=f"{pg.name}_{name}") for name in ("copied", "followed"))
    with pytest.raises(SchemaError, match="cannot be held exactly") as error:
        copied.once()
    assert "as_text" in str(error.value.hint)
    assert value not in str(error.value)
    copied.once(as_text=[as_text])
    assert copied.rows() == [(1, text)]
    pg.execute("delete from t", "insert into t values (0, null)")
    followed.once()
    pg.execute(f"insert into t values (2, '{value}')")
    with pytest.raises(SchemaError, match="cannot be held exactly"):
        followed.once()
    copied.once(as_text=[as_text])
    assert copied.rows() == [(0, None), (2, text)]


@pytest.mark.parametrize("pg_version", [18])
def test_an_interval_without_an_end_stops_and_text_takes_it(pg: Database, tmp_path: Path) -> None:
    """Intervals without an end came with PostgreSQL 17."""
    pg.execute("create table t (id int primary key, v interval)", "insert into t values (1, 'infinity')")
    copy = Copy(pg, tmp_path)
    with pytest.raises(SchemaError, match="cannot be held exactly"):
        copy.once()
    copy.once(as_text=["interval"])
    pg.execute("insert into t values (2, '-infinity'), (3, '1 day')")
    copy.once(as_text=["interval"])
    assert copy.rows() == [(1, "infinity"), (2, "-infinity"), (3, "1 day")]


def test_another_encoding_and_settings_of_the_role_change_nothing(pg: Any, tmp_path: Path) -> None:
    name = f"{pg.name}_latin1"
    pg.execute(f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        database = Database(name, pg.server.dsn_of(name), pg.server)
        database.execute(
            f"alter database {name} set datestyle = 'SQL, DMY'",
            f"alter database {name} set timezone = 'Asia/Kolkata'",
            f"alter database {name} set bytea_output = 'escape'",
            f"alter database {name} set intervalstyle = 'iso_8601'",
            "create table t (id int primary key, s text, t timestamptz, b bytea, i interval, d date)",
        )
        row = "chr(223) || chr(233), '2024-03-04 05:06:07Z', '\\xff', '1 mon 2 days', '2024-03-04'"
        shop = Shop(database, tmp_path).write()
        for key in (1, 2):
            database.execute(f"insert into t values ({key}, {row})")
            shop.once()
        with duckdb.connect(str(shop.file), read_only=True) as connection:
            rows = connection.execute("select columns(* exclude id)::varchar from public.t").fetchall()
        assert rows == [("ßé", "2024-03-04 05:06:07+00", "\\xFF", "1 month 2 days", "2024-03-04")] * 2
    finally:
        drop_database(pg.server, name)
