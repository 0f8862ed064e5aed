from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from snowflake.connector.errors import ProgrammingError

from etl_snowflake.emulator import Emulator

Query = Callable[..., list[Any]]
Write = Callable[..., Path]
_PARQUET = "FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE BINARY_AS_TEXT = FALSE)"
_BY_NAME = f"{_PARQUET} MATCH_BY_COLUMN_NAME = CASE_SENSITIVE"
_STATUS = "Copy executed with 0 files processed."


def rows(count: int = 3) -> pa.Table:
    return pa.table({"ID": pa.array(range(count), pa.int64()), "V": [f"v{each}" for each in range(count)]})


@pytest.fixture
def staged(query: Query, parquet: Write) -> Callable[..., None]:
    """Put a table as a file on the stage STG."""
    query("CREATE STAGE stg")
    query("CREATE TABLE t (id INT NOT NULL, v VARCHAR(5))")

    def put(table: pa.Table, name: str = "part.parquet", place: str = "@stg/load/") -> None:
        found = query(f"PUT 'file://{parquet(table, name)}' {place} AUTO_COMPRESS = FALSE PARALLEL = 1")
        assert found[0][6] == "UPLOADED"

    return put


def test_a_file_is_put_listed_copied_once_and_removed(
    query: Query, staged: Callable[..., None], emulator: Emulator
) -> None:
    staged(rows())
    assert [row[0] for row in query("LIST @stg/load")] == ["stg/load/part.parquet"]
    copy = f"COPY INTO t FROM @stg/load/ FILES = ('part.parquet') {_BY_NAME}"
    assert query(copy) == [("stg/load/part.parquet", "LOADED", 3, 3, 1, 0, None, None, None, None)]
    assert query(copy) == [(_STATUS,)]
    assert query(f"{copy} FORCE = TRUE")[0][1:4] == ("LOADED", 3, 3)
    assert query("SELECT count(*), count(DISTINCT id) FROM t") == [(6, 3)]
    assert query("REMOVE @stg/load") == [("stg/load/part.parquet", "removed")]
    assert query("LIST @stg") == []
    counts = emulator.counts()
    assert (counts["files_put"], counts["copies"], counts["rows_copied"]) == (1, 2, 6)


def test_a_stage_with_a_quoted_name_and_a_path_with_blanks(query: Query, staged: Callable[..., None]) -> None:
    query('CREATE STAGE "My stage"')
    staged(rows(), "a b.parquet", "'@\"My stage\"/in here/'")
    copied = query(
        f"COPY INTO t FROM '@\"My stage\"/in here/' FILES = ('a b.parquet') {_BY_NAME} PURGE = TRUE"
    )
    assert copied[0][1:4] == ("LOADED", 3, 3)
    assert query("LIST '@\"My stage\"'") == []


def test_all_files_below_a_path(query: Query, staged: Callable[..., None]) -> None:
    staged(rows(), "one.parquet")
    staged(rows(), "two.parquet")
    staged(rows(), "three.txt")
    first = query(f"COPY INTO t FROM @stg/load/ PATTERN = '.*one[.]parquet' {_BY_NAME}")
    both = query(f"COPY INTO t FROM @stg/load {_BY_NAME} FILES = ('one.parquet', 'two.parquet')")
    assert [row[1] for row in first] == ["LOADED"]
    assert sorted(row[1] for row in both) == ["LOADED", "LOAD_SKIPPED"]


def test_a_put_leaves_a_file_that_is_there(query: Query, staged: Callable[..., None], parquet: Write) -> None:
    staged(rows())
    path = parquet(rows(5))
    assert query(f"PUT file://{path} @stg/load AUTO_COMPRESS = FALSE")[0][6] == "SKIPPED"
    assert query(f"PUT file://{path} @stg/load AUTO_COMPRESS = FALSE OVERWRITE = TRUE")[0][6] == "UPLOADED"


def test_exact_types_survive(query: Query, staged: Callable[..., None]) -> None:
    query(
        "CREATE TABLE types (n NUMBER(38,0), d NUMBER(38,9), f FLOAT, s VARCHAR, b BOOLEAN, bin BINARY, "
        "dt DATE, t TIME, ntz TIMESTAMP_NTZ(6), tz TIMESTAMP_TZ, v VARIANT, a ARRAY, o OBJECT)"
    )
    moment = dt.datetime(1824, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001
    arrays = {
        "N": pa.array([10**37], pa.decimal128(38, 0)),
        "D": pa.array([Decimal("1.000000001")], pa.decimal128(38, 9)),
        "F": pa.array([float("inf")]),
        "S": pa.array(["\u2603"]),
        "B": pa.array([True]),
        "BIN": pa.array([b"\xff\x00"]),
        "DT": pa.array([dt.date(1824, 2, 29)]),
        "T": pa.array([dt.time(1, 2, 3, 4)], pa.time64("us")),
        "NTZ": pa.array([moment], pa.timestamp("us")),
        "TZ": pa.array([moment.replace(tzinfo=dt.UTC)], pa.timestamp("us", tz="UTC")),
        "V": pa.array([{"k": [1, None]}]),
        "A": pa.array([[1, 2]]),
        "O": pa.array([{"k": "x"}]),
    }
    staged(pa.table(arrays))
    query(f"COPY INTO types FROM @stg/load/ {_BY_NAME}")
    assert query("SELECT * FROM types") == [
        (
            10**37,
            Decimal("1.000000001"),
            float("inf"),
            "\u2603",
            True,
            bytearray(b"\xff\x00"),
            dt.date(1824, 2, 29),
            dt.time(1, 2, 3, 4),
            moment,
            moment.replace(tzinfo=dt.UTC),
            '{"k":[1,null]}',
            "[1,2]",
            '{"k":"x"}',
        )
    ]


def test_a_select_converts(query: Query, staged: Callable[..., None]) -> None:
    query('CREATE TABLE c (id INT, "low er" VARIANT, file VARCHAR, part VARCHAR)')
    staged(pa.table({"id": pa.array([1]), "low er": ['{"a": [1]}'], "part": [{"x": {"y": "deep"}}]}))
    query(
        'COPY INTO c (id, "low er", file, part) FROM (SELECT $1:id::NUMBER(38,0), '
        'PARSE_JSON($1:"low er"::VARCHAR), '
        f"METADATA$FILENAME, $1:part.x.y::VARCHAR FROM @stg/load/) {_PARQUET}"
    )
    assert query("SELECT * FROM c") == [(1, '{"a": [1]}', "load/part.parquet", "deep")]


def test_a_string_in_a_variant_stays_a_string(query: Query, staged: Callable[..., None]) -> None:
    query("CREATE TABLE c (v VARIANT)")
    staged(pa.table({"V": ['{"a": 1}']}))
    query(f"COPY INTO c FROM @stg/load/ {_BY_NAME}")
    assert query("SELECT TYPEOF(v), PARSE_JSON(v::VARCHAR):a::INT FROM c") == [("VARCHAR", 1)]


def test_bytes_are_read_as_text_unless_told_otherwise(query: Query, staged: Callable[..., None]) -> None:
    query("CREATE TABLE c (b BINARY)")
    staged(pa.table({"B": [b"\xff\x00"]}))
    with pytest.raises(ProgrammingError, match="does not fit"):
        query(
            "COPY INTO c FROM @stg/load/ FILE_FORMAT = (TYPE = PARQUET) MATCH_BY_COLUMN_NAME = CASE_SENSITIVE"
        )


@pytest.mark.parametrize(
    ("on_error", "status", "loaded"),
    [("CONTINUE", "PARTIALLY_LOADED", 1), ("SKIP_FILE", "LOAD_FAILED", 0)],
)
def test_rows_that_do_not_fit(
    query: Query, staged: Callable[..., None], on_error: str, status: str, loaded: int
) -> None:
    staged(pa.table({"ID": [1, None], "V": ["ok", "x"]}))
    found = query(f"COPY INTO t FROM @stg/load/ {_BY_NAME} ON_ERROR = {on_error}")
    assert found[0][1:4] == (status, 2, loaded)
    assert (found[0][5], found[0][9]) == (1, "ID")
    assert query("SELECT count(*) FROM t") == [(loaded,)]


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("COPY INTO t FROM @stg/load/ {by_name}", 100038),
        ("COPY INTO t FROM @stg/load/ FILES = ('none.parquet') {by_name}", 91016),
        ("COPY INTO t FROM @stg/load/ {parquet}", 1003),
        ("COPY INTO t FROM @stg/load/ FILE_FORMAT = (TYPE = CSV)", 1003),
        ("COPY INTO t (id) FROM (SELECT $1:ID, $1:V FROM @stg/load/) {parquet}", 2020),
        ("COPY INTO t FROM @nowhere/load/ {by_name}", 2003),
        ("COPY INTO nowhere FROM @stg/load/ {by_name}", 2003),
    ],
)
def test_a_copy_that_fails_loads_nothing(
    query: Query, staged: Callable[..., None], statement: str, number: int
) -> None:
    staged(pa.table({"ID": [1, 2], "V": ["fits", "too long"]}))
    with pytest.raises(ProgrammingError) as caught:
        query(statement.format(by_name=_BY_NAME, parquet=_PARQUET))
    assert caught.value.errno == number
    assert query("SELECT count(*) FROM t") == [(0,)]


def test_a_file_that_is_no_parquet(query: Query, staged: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    query(f"PUT file://{tmp_path}/bad.parquet @stg/bad AUTO_COMPRESS = FALSE")
    with pytest.raises(ProgrammingError, match="parsing the parquet file"):
        query(f"COPY INTO t FROM @stg/bad/ {_BY_NAME}")


def test_a_load_that_is_rolled_back_can_be_repeated(query: Query, staged: Callable[..., None]) -> None:
    staged(rows())
    query("BEGIN")
    query(f"COPY INTO t FROM @stg/load/ {_BY_NAME}")
    query("ROLLBACK")
    assert query(f"COPY INTO t FROM @stg/load/ {_BY_NAME}")[0][1] == "LOADED"


def test_user_and_table_stages(query: Query, staged: Callable[..., None]) -> None:
    staged(rows(), "mine.parquet", "@~/x")
    staged(rows(), "its.parquet", "@%t")
    assert query(f"COPY INTO t FROM @%t {_BY_NAME}")[0][1] == "LOADED"
    assert query(f"COPY INTO t FROM @~/x {_BY_NAME}")[0][1] == "LOADED"
    query("REMOVE @~/x")


def test_a_temporary_stage_ends_with_its_session(connect: Callable[..., Any], parquet: Write) -> None:
    connection, other = connect(), connect().cursor()
    connection.cursor().execute("CREATE TEMPORARY STAGE brief")
    connection.cursor().execute(f"PUT file://{parquet(rows())} @brief AUTO_COMPRESS = FALSE")
    with pytest.raises(ProgrammingError, match="does not exist"):
        other.execute("LIST @brief")
    connection.close()
    assert other.execute("SHOW STAGES").fetchall() == []


def test_a_stage_needs_its_privileges(query: Query, staged: Callable[..., None], emulator: Emulator) -> None:
    staged(rows())
    emulator.control("grants", {"revoke": [{"privilege": "READ", "kind": "STAGE"}]})
    with pytest.raises(ProgrammingError, match="Insufficient privileges to operate on stage"):
        query(f"COPY INTO t FROM @stg/load/ {_BY_NAME}")


def test_nanoseconds_and_far_years_both_come_through(
    query: Query, staged: Callable[..., None], connect: Callable[..., Any]
) -> None:
    columns = "n INT, ntz TIMESTAMP_NTZ(9), tz TIMESTAMP_TZ(9), t TIME(9)"
    query(f"CREATE TABLE near ({columns})")
    query(f"CREATE TABLE far ({columns})")
    query(f"CREATE TABLE mirror ({columns})")
    staged(
        pa.table(
            {
                "N": [1, 2],
                "NTZ": pa.array([1, -1], pa.timestamp("ns")),
                "TZ": pa.array([1, -1], pa.timestamp("ns", "UTC")),
                "T": pa.array([1, 86_399_999_999_999], pa.time64("ns")),
            }
        ),
        "near.parquet",
    )
    ends = [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)]  # noqa: DTZ001
    staged(
        pa.table({"N": [1, 2], "NTZ": ends, "TZ": pa.array(ends, pa.timestamp("us", "UTC"))}), "far.parquet"
    )
    query(f"COPY INTO near FROM @stg/load/ FILES = ('near.parquet') {_BY_NAME}")
    query(
        "COPY INTO far (n, ntz, tz) FROM (SELECT $1:N::NUMBER(38,0), $1:NTZ::TIMESTAMP_NTZ(9), "
        f"$1:TZ::TIMESTAMP_TZ(9) FROM @stg/load/) FILES = ('far.parquet') {_PARQUET}"
    )
    assert query("SELECT ntz FROM far ORDER BY n") == [(each,) for each in ends]
    query(
        "MERGE INTO mirror m USING near s ON m.ntz = s.ntz "
        "WHEN NOT MATCHED THEN INSERT (n, ntz, tz, t) VALUES (s.n, s.ntz, s.tz, s.t)"
    )
    for table in ("near", "mirror"):
        found = connect().cursor().execute(f"SELECT ntz, tz, t FROM {table} ORDER BY n").fetch_arrow_all()
        assert found.column("NTZ").cast(pa.int64()).to_pylist() == [1, -1]
        assert found.column("TZ").cast(pa.int64()).to_pylist() == [1, -1]
