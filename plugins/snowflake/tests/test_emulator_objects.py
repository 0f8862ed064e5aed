from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from snowflake.connector.errors import DatabaseError, ProgrammingError

from etl_snowflake.emulator import Emulator

Query = Callable[..., list[Any]]
Connect = Callable[..., Any]


def names(rows: list[Any], column: int = 1) -> list[str]:
    return [row[column] for row in rows]


def test_databases_schemas_and_warehouses(query: Query, emulator: Emulator) -> None:
    query("CREATE DATABASE IF NOT EXISTS other")
    query("CREATE DATABASE IF NOT EXISTS other")
    assert query("SELECT CURRENT_DATABASE(), CURRENT_SCHEMA()") == [("OTHER", "PUBLIC")]
    with pytest.raises(ProgrammingError, match="already exists"):
        query("CREATE DATABASE other")
    query("CREATE OR REPLACE SCHEMA other.inner_one")
    query("CREATE SCHEMA IF NOT EXISTS inner_one")
    query("CREATE TABLE far AS SELECT 1 AS a")
    with pytest.raises(ProgrammingError, match="already exists"):
        query("CREATE SCHEMA inner_one")
    query(f"USE DATABASE {emulator.database}")
    assert query("SELECT far.a FROM other.inner_one.far") == [(1,)]
    assert query("SELECT other.inner_one.far.a FROM other.inner_one.far") == [(1,)]
    assert {"OTHER", emulator.database} <= set(names(query("SHOW DATABASES")))
    assert names(query("SHOW SCHEMAS LIKE 'INNER%' IN other")) == ["INNER_ONE"]
    assert names(query("SHOW TABLES IN DATABASE other")) == ["FAR"]
    assert "FAR" in names(query("SHOW TABLES LIKE 'far' IN ACCOUNT"))
    assert query("SELECT schema_name FROM other.information_schema.schemata ORDER BY 1") == [
        ("INNER_ONE",),
        ("PUBLIC",),
    ]
    query("USE other")
    query("USE SCHEMA inner_one")
    query("DROP SCHEMA inner_one CASCADE")
    query("DROP SCHEMA IF EXISTS inner_one")
    with pytest.raises(ProgrammingError, match="does not exist"):
        query("DROP SCHEMA inner_one")
    query("CREATE WAREHOUSE IF NOT EXISTS second_wh")
    query(f"USE WAREHOUSE {emulator.warehouse}")
    assert names(query("SHOW WAREHOUSES LIKE 'second%'"), 0) == ["SECOND_WH"]


def test_users_and_roles(query: Query, connect: Connect, emulator: Emulator) -> None:
    admin = connect(role="ACCOUNTADMIN").cursor()
    admin.execute("CREATE ROLE IF NOT EXISTS reader")
    admin.execute(f"GRANT ROLE reader TO USER {emulator.user}")
    query("USE ROLE reader")
    query("USE SECONDARY ROLES NONE")
    assert query("SELECT CURRENT_ROLE()") == [("READER",)]
    assert "READER" in names(query(f"SHOW GRANTS TO USER {emulator.user}"))
    with pytest.raises(ProgrammingError) as caught:
        query("GRANT USAGE ON WAREHOUSE etl_wh TO ROLE reader")
    assert caught.value.errno == 3001
    admin.execute("REVOKE USAGE ON WAREHOUSE etl_wh FROM ROLE reader")
    admin.execute("REVOKE EXECUTE TASK ON ACCOUNT FROM ROLE reader")
    assert query("SHOW GRANTS ON WAREHOUSE etl_wh") == [
        row for row in query("SHOW GRANTS TO ROLE reader") if row[2:4] == ("WAREHOUSE", "ETL_WH")
    ]
    with pytest.raises(ProgrammingError):
        query("USE WAREHOUSE etl_wh")
    with pytest.raises(ProgrammingError, match="does not exist"):
        admin.execute("ALTER USER nobody SET RSA_PUBLIC_KEY = 'x'")


def test_sessions_have_parameters_and_variables(query: Query) -> None:
    query("ALTER SESSION SET TIMEZONE = 'UTC', QUERY_TAG = 'etl'")
    assert ("QUERY_TAG", "etl") in [row[:2] for row in query("SHOW PARAMETERS LIKE 'query%' IN SESSION")]
    query("ALTER SESSION UNSET QUERY_TAG")
    assert query("SHOW PARAMETERS LIKE 'query_tag'") == []
    with pytest.raises(ProgrammingError):
        query("ALTER SESSION SET nonsense")
    query("SET greeting = 'hello'")
    query("/* said */ -- first\nSELECT SYSTEM$WAIT(1);")


def test_stages(query: Query) -> None:
    query("CREATE STAGE stg FILE_FORMAT = (TYPE = PARQUET)")
    query("CREATE STAGE IF NOT EXISTS stg")
    with pytest.raises(ProgrammingError, match="already exists"):
        query("CREATE STAGE stg")
    with pytest.raises(ProgrammingError, match="external stages"):
        query("CREATE STAGE far URL = 's3://bucket/'")
    query("CREATE OR REPLACE STAGE stg")
    assert names(query("SHOW STAGES LIKE 'st%' IN SCHEMA")) == ["STG"]
    query("CREATE FILE FORMAT IF NOT EXISTS pq TYPE = PARQUET")
    with pytest.raises(ProgrammingError, match="Parquet"):
        query("CREATE FILE FORMAT csv TYPE = CSV")
    query("DROP STAGE stg")
    query("DROP STAGE IF EXISTS stg")
    with pytest.raises(ProgrammingError, match="does not exist"):
        query("DROP STAGE stg")


def test_views_and_comments(query: Query, schema: str) -> None:
    query("CREATE TABLE t AS SELECT 1 AS a, PARSE_JSON('{}') AS b")
    query("CREATE VIEW v AS SELECT a + 1 AS c FROM t")
    query("COMMENT ON TABLE t IS 'what it is'")
    assert query("SELECT * FROM v") == [(2,)]
    found = query(
        "SELECT table_name, table_type, row_count, comment FROM information_schema.tables "
        f"WHERE table_schema = '{schema}' ORDER BY 1"
    )
    assert found == [("T", "BASE TABLE", 1, "what it is"), ("V", "VIEW", 1, "")]
    with pytest.raises(ProgrammingError):
        query("COMMENT ON COLUMN t.a IS 'x'")
    with pytest.raises(ProgrammingError, match="does not exist"):
        query("SELECT * FROM information_schema.sequences")
    query("DROP VIEW v")


def test_altered_tables(query: Query, schema: str) -> None:
    query("CREATE TABLE t (a INT DEFAULT 7, b VARCHAR)")
    query("INSERT INTO t (b) VALUES ('x')")
    query("ALTER TABLE t SET ENABLE_SCHEMA_EVOLUTION = TRUE")
    assert query("SHOW TABLES")[0][11] == "Y"
    query("ALTER TABLE t ALTER COLUMN a DROP DEFAULT")
    query("ALTER TABLE t ADD COLUMN c INT NOT NULL DEFAULT 5")
    query("ALTER TABLE t ALTER COLUMN b SET NOT NULL")
    query("ALTER TABLE t DROP COLUMN IF EXISTS none")
    query("ALTER TABLE IF EXISTS none DROP COLUMN a")
    assert query("SELECT * FROM t") == [(7, "x", 5)]
    query(f"CREATE OR REPLACE SCHEMA {schema}_two")
    query(f"ALTER TABLE {schema}.t RENAME TO {schema}_two.t")
    assert query("SELECT * FROM t") == [(7, "x", 5)]
    query("CREATE TABLE u (a INT)")
    query("TRUNCATE TABLE IF EXISTS none")
    query("DROP TABLE IF EXISTS none")


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("ALTER TABLE t ADD COLUMN c INT NOT NULL", 2044),
        ("ALTER TABLE t RENAME COLUMN a TO b", 2002),
        (f"ALTER TABLE t RENAME COLUMN a TO {'x' * 256}", 2077),
        ("ALTER TABLE t RENAME TO u", 2002),
        ("ALTER TABLE t CLUSTER BY (a)", 1003),
        ("ALTER TABLE t ALTER COLUMN a SET DEFAULT 5", 1003),
        ("CREATE TABLE v", 1003),
        ("CREATE TABLE v (a VECTOR(INT, 3))", 1003),
        ("CREATE SEQUENCE s", 1003),
        ("SELECT * FROM @~", 1003),
        ("SELECT 'x' FROM VALUES (1", 1003),
        ("SELECT 1.2.3.4.5", 1003),
        ("SELECT ? ", 1003),
        ("USE SCHEMA nowhere", 2003),
        ("USE DATABASE nowhere", 2003),
    ],
)
def test_what_cannot_be_done(query: Query, statement: str, number: int) -> None:
    query("CREATE TABLE t AS SELECT 1 AS a, 2 AS b")
    query("CREATE TABLE u (a INT)")
    with pytest.raises(DatabaseError) as caught:
        query(statement)
    assert caught.value.errno == number


def test_without_a_schema_names_have_to_be_qualified(
    connect: Connect, emulator: Emulator, schema: str
) -> None:
    cursor = connect(database="nowhere", schema="nowhere").cursor()
    for statement in (
        "SELECT * FROM t",
        f"SELECT * FROM {schema}.t",
        "SHOW COLUMNS IN TABLE t",
        "CREATE SCHEMA s",
    ):
        with pytest.raises(ProgrammingError, match="does not have a current schema"):
            cursor.execute(statement)
    with pytest.raises(ProgrammingError, match="does not have a current schema"):
        cursor.execute("SELECT * FROM information_schema.tables")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("OBJECT_KEYS(PARSE_JSON('{\"a\": 1}'))", '["a"]'),
        ("TO_JSON(ARRAY_CAT(ARRAY_CONSTRUCT(1), ARRAY_CONSTRUCT(2)))", "[1,2]"),
        ("ARRAY_APPEND(ARRAY_CONSTRUCT(1), 2)", "[1,2]"),
        ("TO_OBJECT(PARSE_JSON('{}'))", "{}"),
        ("TO_ARRAY(1)", "[1]"),
        ("TRY_TO_TIMESTAMP_NTZ('x')", None),
        ("TO_TIMESTAMP_NTZ('2024-01-01')::VARCHAR", "2024-01-01 00:00:00"),
        ("TRY_CAST('1' AS VARIANT)", "1"),
        ("TO_BINARY('zz', 'UTF-8')", bytearray(b"zz")),
        ("TRY_TO_BINARY('zz', 'HEX')", None),
        ("'ff'::BINARY", bytearray(b"\xff")),
        ("1::BOOLEAN", True),
        ("GET(PARSE_JSON('{\"a\": 1}'), 'a')", "1"),
        ("LAST_QUERY_ID() IS NOT NULL AND CURRENT_SESSION() IS NOT NULL", True),
        ("CURRENT_ACCOUNT() || CURRENT_VERSION() || CURRENT_REGION() <> ''", True),
    ],
)
def test_more_functions(query: Query, expression: str, value: Any) -> None:
    assert query(f"SELECT {expression}") == [(value,)]


def test_queries_of_several_parts(query: Query) -> None:
    assert query("SELECT v[k] FROM (SELECT PARSE_JSON('{\"a\": 1}') AS v, 'a' AS k)") == [("1",)]
    assert query("WITH c AS (SELECT 1 AS a UNION ALL SELECT 2) SELECT MAX(a) FROM c") == [(2,)]
    assert query("SELECT column1 FROM VALUES (5)") == [(5,)]


def test_all_of_a_table_is_replaced(query: Query) -> None:
    query("CREATE TABLE t AS SELECT 1 AS a")
    assert query("INSERT OVERWRITE INTO t SELECT 2 UNION ALL SELECT 3") == [(2,)]
    assert query("SELECT a FROM t ORDER BY a") == [(2,), (3,)]


def test_a_cursor_describes_without_running(connect: Connect) -> None:
    cursor = connect().cursor()
    cursor.execute("CREATE TABLE t (a NUMBER(5,2), b VARCHAR(7), c TIMESTAMP_NTZ(3))")
    found = cursor.describe("SELECT * FROM t")
    assert [(each.name, each.precision, each.scale, each.internal_size) for each in found] == [
        ("A", 5, 2, None),
        ("B", None, None, 7),
        ("C", 0, 3, None),
    ]


def test_bound_values_have_their_types(connect: Connect) -> None:
    cursor = connect(paramstyle="qmark").cursor()
    found = cursor.execute("SELECT ?, ?, ?, ?", (1.5, True, b"\xff", "x")).fetchall()
    assert found == [(1.5, True, bytearray(b"\xff"), "x")]


def test_a_parquet_file_in_one_column(query: Query, parquet: Callable[..., Path]) -> None:
    query("CREATE TABLE raw (v VARIANT)")
    query(f"PUT file://{parquet(pa.table({'a': [1], 'b': ['x']}))} @%raw AUTO_COMPRESS = FALSE")
    query("COPY INTO raw FROM @%raw FILE_FORMAT = (TYPE = PARQUET)")
    assert query("SELECT v:a::INT, v:b::VARCHAR FROM raw") == [(1, "x")]
    query("CREATE TABLE whole (v VARIANT, n INT)")
    copy = "COPY INTO whole (v) FROM (SELECT $1 FROM @%raw) FILE_FORMAT = (TYPE = PARQUET)"
    query(copy)
    assert query("SELECT v, n FROM whole") == [('{"a":1,"b":"x"}', None)]
    for wrong in (copy.replace("(v)", "(z)"), copy.replace("@%raw)", "@%raw WHERE 1 = 1)")):
        with pytest.raises(ProgrammingError):
            query(wrong)


def test_keys_and_users_by_control(emulator: Emulator, query: Query) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(emulator.key.read_bytes(), None).public_key()
    public = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()
    disabled = {"user": "OFF", "keys": [public, None], "disabled": True}
    assert emulator.control("keys", disabled) == {"user": "OFF"}
    with pytest.raises(DatabaseError, match="JWT token is invalid"):
        __import__("snowflake.connector").connector.connect(**emulator.connector(user="OFF"))
    emulator.control("expire", {"token_lifetime": 3600, "session_lifetime": 3600})
    emulator.control("grants", {"grant": [{"privilege": "USAGE", "kind": "SCHEMA", "name": "X"}]})
