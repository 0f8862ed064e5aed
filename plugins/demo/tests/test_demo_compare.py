from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from etl_core import FatalError, RetryableError
from etl_demo.client import opened
from etl_demo.compare import TableReport, compare
from etl_pglib.testing import Database

#: By PostgreSQL type: a value, the DuckDB type it is copied to, the same value there, and one just beside it.
VALUES = {
    "boolean": ("true", "BOOLEAN", "true", "false"),
    "smallint": ("7", "SMALLINT", "7", "8"),
    "integer": ("7", "INTEGER", "7", "-7"),
    "bigint": ("9007199254740993", "BIGINT", "9007199254740993", "9007199254740992"),
    "real": ("0.1", "FLOAT", "0.1", "0.10000001"),
    "float8": ("'NaN'", "DOUBLE", "'NaN'::DOUBLE", "0"),
    "numeric(12,2)": ("1.10", "DECIMAL(12,2)", "1.10", "1.11"),
    "numeric": ("1.1000", "VARCHAR", "'1.1000'", "'1.1'"),
    "text": ("'ä'", "VARCHAR", "'ä'", "'Ä'"),
    "varchar(3)": ("'a'", "VARCHAR", "'a'", "'a '"),
    "char(3)": ("'a'", "VARCHAR", "'a  '", "'a'"),
    "bytea": (r"'\x00ff'", "BLOB", r"'\x00\xFF'::BLOB", r"'\x00'::BLOB"),
    "date": ("'2024-02-29'", "DATE", "'2024-02-29'", "'2024-03-01'"),
    "time": ("'01:02:03.4'", "TIME", "'01:02:03.4'", "'01:02:03.400001'"),
    "timestamp": (
        "'2024-01-01 00:00:00.000001'",
        "TIMESTAMP",
        "'2024-01-01 00:00:00.000001'",
        "'2024-01-01'",
    ),
    "timestamptz": ("'2024-01-01 00:00+02'", "TIMESTAMPTZ", "'2023-12-31 22:00+00'", "'2024-01-01 00:00+00'"),
    "interval": (
        "'1 mon -3 days 04:05:06.7'",
        "INTERVAL",
        "'1 month -3 days 04:05:06.7'",
        "'27 days 04:05:06.7'",
    ),
    "uuid": (
        "'00000000-0000-0000-0000-000000000001'",
        "UUID",
        "'00000000-0000-0000-0000-000000000001'",
        "'00000000-0000-0000-0000-000000000002'",
    ),
    "jsonb": ("""'{"a": 1.0}'""", "JSON", """'{"a": 1.0}'""", """'{"a": 1}'"""),
    "integer[]": ("'{1,NULL}'", "INTEGER[]", "[1, NULL]", "[1]"),
    "text[]": ("""'{"a,b",NULL}'""", "VARCHAR[]", "['a,b', NULL]", "['a', 'b']"),
    "float8[]": ("'{1.5}'", "VARCHAR", "'{1.5}'", "'{1.50}'"),
    "inet": ("'10.0.0.1/8'", "VARCHAR", "'10.0.0.1/8'", "'10.0.0.1'"),
    "mood": ("'glad'", "VARCHAR", "'glad'", "'sad'"),
    "age": ("5", "INTEGER", "5", "6"),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.duckdb"


def one_table(pg: Database, copy: Path, wrong: frozenset[str] = frozenset()) -> TableReport:
    """Put VALUES, and a row of nulls, into a table on both sides and compare them."""
    types = list(VALUES)
    pg.execute(
        "create type mood as enum ('sad', 'glad'); create domain age as integer",
        f"create table t (id int primary key, {', '.join(f'c{i} {t}' for i, t in enumerate(types))})",
        f"insert into t values (1, {', '.join(VALUES[t][0] for t in types)})",
        "insert into t values (2)",
    )
    columns = ", ".join(f"c{i} {VALUES[t][1]}" for i, t in enumerate(types))
    values = ", ".join(VALUES[t][3 if t in wrong else 2] for t in types)
    write(copy, "create schema public", f"create table public.t (id integer, _etl_x integer, {columns})")
    write(copy, f"insert into public.t values (1, 0, {values})", "insert into public.t (id) values (2)")
    (report,) = compare(pg.dsn, copy)
    return report


def write(copy: Path, *statements: str) -> None:
    with duckdb.connect(copy) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for statement in statements:
            connection.execute(statement)


def test_equal_values_of_every_type_are_equal(pg: Database, copy: Path) -> None:
    report = one_table(pg, copy)
    assert report.differences == ()
    assert report.equal
    assert (report.source_rows, report.copy_rows) == (2, 2)


def test_one_value_just_beside_of_every_type_is_a_difference(pg: Database, copy: Path) -> None:
    report = one_table(pg, copy, frozenset(VALUES))
    assert report.differing == len(VALUES)
    assert len(report.differences) == 3
    assert not report.equal


@pytest.mark.parametrize(
    ("change", "column", "differing"),
    [
        ("delete from public.t where id = 2", None, 2),
        ("insert into public.t values (3, 'c')", None, 2),
        ("insert into public.t values (2, 'b')", None, 2),
        ("update public.t set v = null where id = 1", "v", 1),
        ("update public.t set v = '' where v is null", "v", 1),
        ("alter table public.t drop v", "v", 2),
        ("alter table public.t alter v type integer using 5", "v", 2),
        ("alter table public.t drop id", None, 4),
        ("drop table public.t", None, 4),
        ("alter table public.t add column extra integer", "extra", 1),
    ],
)
def test_whatever_else_is_wrong_is_seen(
    pg: Database, copy: Path, change: str, column: str | None, differing: int
) -> None:
    pg.execute("create table t (id int primary key, v text); insert into t values (1, 'a'), (2, null)")
    write(copy, "create schema public", "create table public.t (id integer, v varchar)")
    write(copy, "insert into public.t values (1, 'a'), (2, null)")
    assert compare(pg.dsn, copy)[0].equal
    write(copy, change)
    (report,) = compare(pg.dsn, copy)
    assert not report.equal
    assert report.differing == differing
    assert report.differences[0].column == column
    assert report.to_json()["equal"] is False


def test_a_copy_that_is_absent_or_in_use_is_said(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="no copy"), opened(tmp_path / "absent"):
        pass
    (tmp_path / "directory").mkdir()
    with pytest.raises(RetryableError, match="cannot be opened"), opened(tmp_path / "directory"):
        pass
