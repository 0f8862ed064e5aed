from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from snowflake.connector.errors import DatabaseError, IntegrityError, ProgrammingError

from etl_snowflake.emulator import Emulator

Query = Callable[..., list[Any]]
Connect = Callable[..., Any]


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        (
            "NUMBER(38,0)",
            "'-12345678901234567890123456789012345678'",
            -12345678901234567890123456789012345678,
        ),
        ("NUMBER(12,4)", "1.25", Decimal("1.2500")),
        ("INTEGER", "7", 7),
        ("FLOAT", "1.5", 1.5),
        ("VARCHAR(20)", "'Ünïcode \u2603'", "Ünïcode \u2603"),
        ("BOOLEAN", "TRUE", True),
        ("DATE", "'1824-02-29'", dt.date(1824, 2, 29)),
        ("TIME", "'10:11:12.000123'", dt.time(10, 11, 12, 123)),
        ("TIMESTAMP_NTZ", "'1824-01-01 01:02:03.000004'", dt.datetime(1824, 1, 1, 1, 2, 3, 4)),  # noqa: DTZ001
        ("TIMESTAMP_NTZ(6)", "'1969-12-31 23:59:59.999999'", dt.datetime(1969, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
        (
            "TIMESTAMP_TZ",
            "'2024-01-01 01:02:03.000004+05:00'",
            dt.datetime(2023, 12, 31, 20, 2, 3, 4, dt.UTC),
        ),
        ("TIMESTAMP_LTZ", "'2024-01-01 01:02:03'", dt.datetime(2024, 1, 1, 1, 2, 3, tzinfo=dt.UTC)),
        ("BINARY", "TO_BINARY('FF00', 'HEX')", bytearray(b"\xff\x00")),
        ("GEOGRAPHY", "'POINT(1 2)'", "POINT(1 2)"),
    ],
)
def test_a_value_of_each_type_comes_back(query: Query, kind: str, written: str, read: Any) -> None:
    query(f"CREATE TABLE t (n INT, v {kind})")
    query(f"INSERT INTO t VALUES (1, {written}), (2, NULL)")
    assert query("SELECT v FROM t ORDER BY n") == [(read,), (None,)]
    declared = {row[0]: row[1] for row in query("DESCRIBE TABLE t")}["V"]
    assert declared.startswith(kind.split("(", maxsplit=1)[0].replace("INTEGER", "NUMBER"))


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        ("VARIANT", 'PARSE_JSON(\'{"a": [1, {"b": null}]}\')', {"a": [1, {"b": None}]}),
        ("VARIANT", "TO_VARIANT('text')", "text"),
        ("VARIANT", "1.5::VARIANT", 1.5),
        ("ARRAY", "ARRAY_CONSTRUCT(1, 'x', NULL)", [1, "x", None]),
        ("ARRAY", "PARSE_JSON('[1]')::ARRAY", [1]),
        ("ARRAY", "PARSE_JSON('1')::ARRAY", [1]),
        ("OBJECT", "OBJECT_CONSTRUCT('a', 1, 'b', NULL)", {"a": 1}),
        ("OBJECT", "PARSE_JSON('{\"a\": null}')::OBJECT", {"a": None}),
    ],
)
def test_a_value_of_each_semi_structured_type_comes_back(
    query: Query, kind: str, written: str, read: Any
) -> None:
    query(f"CREATE TABLE t (v {kind})")
    query(f"INSERT INTO t SELECT {written}")
    assert json.loads(query("SELECT v FROM t")[0][0]) == read


def test_semi_structured_functions(query: Query) -> None:
    query('CREATE TABLE t AS SELECT PARSE_JSON(\'{"a": [1, "x"], "b": {"c": "y"}}\') AS v')
    assert query("SELECT v:b.c::VARCHAR, v:a[0]::NUMBER, v['b']['c']::VARCHAR, ARRAY_SIZE(v:a) FROM t") == [
        ("y", 1, "y", 2)
    ]
    assert query("SELECT ARRAY_CONTAINS('x'::VARIANT, v:a::ARRAY), TYPEOF(v:a), v:none IS NULL FROM t") == [
        (True, "ARRAY", True)
    ]
    assert query(
        "SELECT TRY_PARSE_JSON('{'), ARRAY_SIZE(ARRAY_AGG(n)) FROM VALUES (1), (2) AS s(n) GROUP BY 1"
    ) == [(None, 2)]
    assert query("SELECT TO_VARCHAR(TO_BINARY('YWI=', 'BASE64')), IFF(EQUAL_NULL(NULL, NULL), 1, 2)") == [
        ("6162", 1)
    ]


def test_an_object_that_is_none_is_refused(query: Query) -> None:
    with pytest.raises(ProgrammingError, match="OBJECT"):
        query("SELECT PARSE_JSON('[1]')::OBJECT")


def test_names_that_differ_by_case_alone_are_two(query: Query, emulator: Emulator, schema: str) -> None:
    query('CREATE TABLE "landing_x" ("id" INT, id INT)')
    query("CREATE TABLE landing_x (a INT)")
    query('INSERT INTO "landing_x" ("id", ID) VALUES (1, 2)')
    assert query('SELECT "id", id FROM "landing_x"') == [(1, 2)]
    assert query("SELECT * FROM LANDING_X") == []
    found = query(
        f"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = '{schema}'"
    )
    assert sorted(found) == [("LANDING_X", "A"), ("landing_x", "ID"), ("landing_x", "id")]
    assert emulator.rows(f'{emulator.database}.{schema}."landing_x"').column_names == ["id", "ID"]


def test_two_schemas_that_differ_by_case_alone(query: Query, schema: str) -> None:
    query(f'CREATE OR REPLACE SCHEMA "{schema.lower()}"')
    query(f'CREATE TABLE "{schema.lower()}".t AS SELECT 1 AS a')
    query(f"CREATE TABLE {schema}.t AS SELECT 2 AS a")
    assert query(f'SELECT l.a, u.a FROM "{schema.lower()}".t l, {schema}.t u') == [(1, 2)]


def test_ddl_round_trip(query: Query) -> None:
    query(
        "CREATE TABLE t (a NUMBER(5,2) NOT NULL, b VARCHAR(3), PRIMARY KEY (a)) "
        "ENABLE_SCHEMA_EVOLUTION = TRUE"
    )
    query("CREATE TABLE IF NOT EXISTS t (z INT)")
    query("ALTER TABLE t ADD COLUMN IF NOT EXISTS c TIMESTAMP_TZ(6), d BINARY")
    query("ALTER TABLE t ADD COLUMN IF NOT EXISTS c DATE")
    query("ALTER TABLE t ALTER COLUMN a SET DATA TYPE NUMBER(9,2)")
    query("ALTER TABLE t ALTER COLUMN b SET DATA TYPE VARCHAR(30)")
    query("ALTER TABLE t ALTER COLUMN a DROP NOT NULL")
    query('ALTER TABLE t RENAME COLUMN d TO "Dd"')
    query("ALTER TABLE t DROP COLUMN b")
    assert [row[:4] for row in query("DESCRIBE TABLE t")] == [
        ("A", "NUMBER(9,2)", "COLUMN", "Y"),
        ("C", "TIMESTAMP_TZ(6)", "COLUMN", "Y"),
        ("Dd", "BINARY(8388608)", "COLUMN", "Y"),
    ]
    assert query("SHOW COLUMNS IN TABLE t")[0][2:4] == ("A", "NUMBER(9,2)")


def test_tables_are_renamed_swapped_copied_and_emptied(query: Query) -> None:
    query("CREATE TABLE a AS SELECT 1 AS x")
    query("CREATE TABLE b CLONE a")
    query("CREATE TABLE c LIKE a")
    query("INSERT INTO b VALUES (2)")
    query("ALTER TABLE a SWAP WITH b")
    assert query("SELECT x FROM a ORDER BY x") == [(1,), (2,)]
    assert query("SELECT x FROM b") == [(1,)]
    query("ALTER TABLE c RENAME TO d")
    query("TRUNCATE TABLE a")
    query("DROP TABLE IF EXISTS b")
    assert [(row[1], row[7]) for row in query("SHOW TABLES")] == [("A", 0), ("D", 0)]
    assert [row[1] for row in query("SHOW TABLES LIKE 'd'")] == ["D"]


def test_a_temporary_table_belongs_to_its_session(connect: Connect) -> None:
    mine, other = connect().cursor(), connect().cursor()
    mine.execute("CREATE TABLE t AS SELECT 1 AS a")
    mine.execute("CREATE TEMPORARY TABLE t AS SELECT 2 AS a")
    assert mine.execute("SELECT a FROM t").fetchall() == [(2,)]
    assert other.execute("SELECT a FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("statement", "number", "state"),
    [
        ("SELEC 1", 1003, "42000"),
        ("GRIND BEANS", 1003, "42000"),
        ("SELECT * FROM nowhere", 2003, "42S02"),
        ("SELECT * FROM nowhere.t", 2003, "02000"),
        ("DROP TABLE nowhere", 2003, "42S02"),
        ("SELECT nothing FROM t", 904, "42000"),
        ("INSERT INTO t (nothing) VALUES (1)", 904, "42000"),
        ("UPDATE t SET nothing = 1", 904, "42000"),
        ("ALTER TABLE t DROP COLUMN nothing", 904, "42000"),
        ("SELECT FROBNICATE(1)", 2140, "42601"),
        ("CREATE TABLE t (a INT)", 2002, "42710"),
        (f"CREATE TABLE {'x' * 256} (a INT)", 2077, "42601"),
        (f"CREATE TABLE u ({'x' * 256} INT)", 2077, "42601"),
        ("CREATE TABLE u (a INT, A INT)", 2025, "42S21"),
        ("ALTER TABLE t ADD COLUMN a INT", 1430, "42601"),
        ("ALTER TABLE t ALTER COLUMN a SET DATA TYPE NUMBER(3,0)", 2108, "22000"),
        ("ALTER TABLE t ALTER COLUMN a SET DATA TYPE VARCHAR", 2108, "22000"),
        ("SELECT 'x'::NUMBER", 100038, "22018"),
        ("SELECT 1; SELECT 2", 8, "0A000"),
        ("USE WAREHOUSE nowhere", 2043, "02000"),
        ("USE ROLE nobody", 3013, "42501"),
        ("LIST @nowhere", 2003, "02000"),
    ],
)
def test_what_cannot_be_done_has_its_number(query: Query, statement: str, number: int, state: str) -> None:
    query("CREATE TABLE t (a INT)")
    with pytest.raises(DatabaseError) as caught:
        query(statement)
    assert (caught.value.errno, caught.value.sqlstate) == (number, state)


def test_null_in_a_column_that_takes_none(query: Query) -> None:
    query("CREATE TABLE t (a INT NOT NULL)")
    with pytest.raises(IntegrityError) as caught:
        query("INSERT INTO t VALUES (NULL)")
    assert caught.value.errno == 100072


def test_a_transaction_is_seen_by_others_when_it_ends(connect: Connect) -> None:
    mine, other = connect().cursor(), connect().cursor()
    mine.execute("CREATE TABLE t (a INT)")
    mine.execute("BEGIN")
    mine.execute("INSERT INTO t VALUES (1), (2)")
    mine.execute("DELETE FROM t WHERE a = 2")
    assert mine.execute("SELECT a FROM t").fetchall() == [(1,)]
    assert other.execute("SELECT a FROM t").fetchall() == []
    mine.execute("COMMIT")
    assert other.execute("SELECT a FROM t").fetchall() == [(1,)]
    mine.execute("BEGIN")
    mine.execute("UPDATE t SET a = 5")
    mine.execute("ROLLBACK")
    assert other.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_ddl_ends_the_open_transaction(connect: Connect) -> None:
    mine = connect().cursor()
    mine.execute("CREATE TABLE t (a INT)")
    mine.execute("BEGIN")
    mine.execute("INSERT INTO t VALUES (1)")
    mine.execute("CREATE TABLE u (a INT)")
    mine.execute("ROLLBACK")
    assert mine.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_without_autocommit_dml_opens_a_transaction(connect: Connect) -> None:
    connection = connect(autocommit=False)
    mine, other = connection.cursor(), connect().cursor()
    other.execute("CREATE TABLE t (a INT)")
    mine.execute("INSERT INTO t VALUES (1)")
    assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.commit()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_parameters_are_bound(connect: Connect) -> None:
    cursor = connect().cursor()
    assert cursor.execute("SELECT %s, %s", (1, "it's")).fetchall() == [(1, "it's")]
    marks = connect(paramstyle="qmark").cursor()
    assert marks.execute("SELECT ?, ?, ?", (7, "it's", None)).fetchall() == [(7, "it's", None)]


def test_many_rows_come_as_arrow(connect: Connect) -> None:
    cursor = connect().cursor()
    cursor.execute("CREATE TABLE t AS SELECT SEQ4() AS n FROM TABLE(GENERATOR(ROWCOUNT => 200000))")
    table = cursor.execute("SELECT n, n::VARCHAR AS s, (n / 4)::NUMBER(12,2) AS d FROM t").fetch_arrow_all()
    assert isinstance(table, pa.Table)
    assert table.num_rows == 200_000
    assert sum(table.column("N").to_pylist()) == 199_999 * 100_000


def test_a_privilege_that_is_missing_is_told_and_granted(
    query: Query, connect: Connect, emulator: Emulator, schema: str
) -> None:
    query("CREATE TABLE t (a INT)")
    place = f"{emulator.database}.{schema}"
    emulator.control(
        "grants",
        {
            "revoke": [
                {"privilege": "INSERT", "kind": "TABLE", "name": f"{place}.T"},
                {"privilege": "CREATE TABLE", "kind": "SCHEMA", "name": place},
            ]
        },
    )
    with pytest.raises(ProgrammingError) as caught:
        query("INSERT INTO t VALUES (1)")
    assert (caught.value.errno, caught.value.sqlstate) == (3001, "42501")
    with pytest.raises(ProgrammingError, match="Insufficient privileges to operate on schema"):
        query("CREATE TABLE u (a INT)")
    assert ("INSERT", "TABLE", f"{place}.T") not in [
        row[1:4] for row in query("SHOW GRANTS TO ROLE etl_role")
    ]
    admin = connect(role="ACCOUNTADMIN").cursor()
    admin.execute("GRANT INSERT, UPDATE ON TABLE t TO ROLE etl_role")
    admin.execute(f"GRANT CREATE TABLE ON SCHEMA {place} TO ROLE etl_role")
    query("INSERT INTO t VALUES (1)")
    query("CREATE TABLE u (a INT)")
    assert ("INSERT", "TABLE", f"{place}.T") in [row[1:4] for row in query("SHOW GRANTS TO ROLE etl_role")]


def test_what_may_not_be_used_is_not_there(
    query: Query, connect: Connect, emulator: Emulator, schema: str
) -> None:
    query("CREATE TABLE t (a INT)")
    revoke = [{"privilege": "USAGE", "kind": "SCHEMA", "name": f"{emulator.database}.{schema}"}]
    emulator.control("grants", {"revoke": revoke})
    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        query("SELECT * FROM t")
    assert (
        schema not in [row[1] for row in query("SHOW SCHEMAS")] or query("SHOW TABLES IN ACCOUNT") is not None
    )
    emulator.control("grants", {"reset": True, "revoke": [{"privilege": "USAGE", "kind": "WAREHOUSE"}]})
    with pytest.raises(ProgrammingError, match="No active warehouse"):
        query("SELECT * FROM t")
    assert query("SHOW WAREHOUSES") == []
    assert connect().cursor().execute("SELECT CURRENT_WAREHOUSE()").fetchall() == [(None,)]


def test_every_statement_is_kept(query: Query, emulator: Emulator) -> None:
    query("SELECT 1 -- as sent")
    with pytest.raises(ProgrammingError):
        query("SELECT * FROM nowhere")
    kept = [(each["text"], each["error"]) for each in emulator.statements()][-2:]
    assert kept == [("SELECT 1 -- as sent", None), ("SELECT * FROM nowhere", "002003")]
