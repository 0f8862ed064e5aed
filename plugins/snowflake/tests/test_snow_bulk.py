from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from etl_core import AuthError, RetryableError, SchemaError, StateError
from etl_snowflake import bulk as module
from etl_snowflake.bulk import Bulk, Staged
from etl_snowflake.client import Session
from etl_snowflake.emulator import Emulator

ROWS = pa.table({"ID": [1, 2], "S": ["a", None]})


@pytest.fixture
def table(session: Session, schema: str) -> str:
    session.execute(f'CREATE TABLE "{schema}"."T" (ID INT NOT NULL, S VARCHAR(3))')
    session.execute(f'CREATE TABLE "{schema}"."MARKS" (MARK VARCHAR)')
    return f'"{schema}"."T"'


@pytest.fixture
def stage(session: Session, schema: str, emulator: Emulator) -> str:
    name = f'"{emulator.database}"."{schema}"."it\'s a stage"'
    session.execute(f"CREATE STAGE {name}")
    return name


@pytest.fixture
def bulk(session: Session, stage: str, tmp_path: Path) -> Bulk:
    return Bulk(session, stage, tmp_path / "spill")


def listed(session: Session, stage: str) -> list[Any]:
    return session.execute("LIST '@{}'".format(stage.replace("'", "''")))


def test_rows_of_all_types_arrive_as_they_were(
    session: Session, bulk: Bulk, schema: str, emulator: Emulator
) -> None:
    session.execute(
        f'CREATE TABLE "{schema}"."ALL" (I NUMBER(19,0), U NUMBER(20,0), D NUMBER(38,3), F FLOAT, S VARCHAR, '
        "B BINARY, DT DATE, TM TIME(9), TS TIMESTAMP_NTZ(9), TZ TIMESTAMP_TZ(9), A ARRAY, O OBJECT, "
        "V VARIANT, BO BOOLEAN)"
    )
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001
    big = Decimal("12345678901234567890123456789012345.678")
    rows = pa.table(
        {
            "I": [2**63 - 1, None],
            "U": pa.array([2**64 - 1, None], pa.uint64()),
            "D": pa.array([big, None]),
            "F": [math.inf, None],
            "S": ["it's \\ \u2603", None],
            "B": [b"\xff\x00", None],
            "DT": [dt.date(1, 1, 1), None],
            "TM": [dt.time(1, 2, 3, 4), None],
            "TS": [moment, None],
            "TZ": [moment.replace(tzinfo=dt.UTC), None],
            "A": [[1, None], None],
            "O": [{"a": None, "b": "x"}, None],
            "V": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["[1, {}]", None])),
            "BO": [True, None],
        }
    )
    bulk.load(f'"{schema}"."ALL"', rows, directory="all", name="1")
    first, second = emulator.rows(f"{emulator.database}.{schema}.ALL", "I").to_pylist()
    texts = {"A": "[1,null]", "O": '{"a":null,"b":"x"}', "V": "[1, {}]"}
    want = {name: texts.get(name, rows[name][0].as_py()) for name in rows.column_names}
    assert {**first, "V": first["V"].replace(",", ", ").replace(",  ", ", ")} == want
    assert set(second.values()) == {None}


def test_files_are_removed_here_and_there(
    session: Session, bulk: Bulk, table: str, stage: str, tmp_path: Path
) -> None:
    [staged] = bulk.load(table, ROWS, directory="it's/a b", name="1-2")
    assert staged.path.startswith("it's/a b/1-2-")
    assert (staged.rows, staged.bytes > 0) == (2, True)
    assert session.execute(f"SELECT * FROM {table} ORDER BY ID") == [(1, "a"), (2, None)]
    assert listed(session, stage) == []
    assert list((tmp_path / "spill").iterdir()) == []


def test_marks_and_rows_come_together(session: Session, bulk: Bulk, table: str, schema: str) -> None:
    marks = f'"{schema}"."MARKS"'
    happened: list[str] = []

    def after() -> None:
        happened.append("after")
        session.execute(f"INSERT INTO {marks} VALUES ('x')")

    @contextmanager
    def transaction() -> Iterator[None]:
        with session.transaction():
            happened.append("begun")
            yield
            happened.append("ends")

    bulk.load(table, ROWS, directory="d", name="n", transaction=transaction, after=after)
    assert happened == ["begun", "after", "ends"]
    assert session.execute(f"SELECT COUNT(*) FROM {marks}") == [(1,)]


def test_a_fence_that_is_lost_loads_nothing(session: Session, bulk: Bulk, table: str) -> None:
    @contextmanager
    def transaction() -> Iterator[None]:
        with session.transaction():
            yield
            raise StateError("another copy")

    with pytest.raises(StateError, match="another copy"):
        bulk.load(table, ROWS, directory="d", name="n", transaction=transaction)
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize("column", [{"S": ["long text", "b"]}, {"ID": [None, 2], "S": ["a", "b"]}])
def test_a_row_that_does_not_fit_loads_nothing(
    session: Session, bulk: Bulk, table: str, column: dict[str, Any]
) -> None:
    rows = pa.table({"ID": [1, 2], **column})
    with pytest.raises(SchemaError, match="does not fit") as caught:
        bulk.load(table, rows, directory="d", name="n")
    assert "long text" not in str(caught.value)
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def test_many_files_in_one_copy(
    session: Session, bulk: Bulk, table: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FILE_BYTES", 100)
    monkeypatch.setattr(module, "_FILES", 4)
    rows = pa.table({"ID": range(60), "S": ["x"] * 60})
    staged = bulk.load(table, rows, directory="d", name="n")
    assert len(staged) > 4
    copies = [each for each in emulator.statements() if each["text"].startswith("COPY")]
    assert len(copies) == -(-len(staged) // 4)
    assert session.execute(f"SELECT COUNT(*), COUNT(DISTINCT ID) FROM {table}") == [(60, 60)]


def test_files_are_loaded_once(session: Session, bulk: Bulk, table: str) -> None:
    staged = bulk.upload(ROWS, "d", "n")
    assert bulk.copy(table, [staged]) == 2
    with pytest.raises(StateError, match="count as loaded"):
        bulk.copy(table, [staged])
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(2,)]


def test_rows_that_are_not_those_that_were_sent(session: Session, bulk: Bulk, table: str) -> None:
    staged = bulk.upload(ROWS, "d", "n")
    more = Staged(staged.path, 3, staged.bytes, staged.schema)
    with pytest.raises(StateError, match="other rows") as caught, session.transaction():
        bulk.copy(table, [more])
    assert caught.value.facts == {"sent": 3, "loaded": 2}
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(0,)]


def losing(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """Lose the answer to statements that begin with a word, once the driver has given up repeating them."""
    execute: Callable[..., Any] = Session.execute

    def lost(self: Session, sql: str, parameters: Any = ()) -> Any:
        found = execute(self, sql, parameters)
        if sql.startswith(word):
            self._drop()
            raise RetryableError("could not be reached")
        return found

    monkeypatch.setattr(Session, "execute", lost)


@pytest.mark.parametrize("landed", [True, False])
def test_a_lost_answer_to_a_commit(
    session: Session, bulk: Bulk, table: str, monkeypatch: pytest.MonkeyPatch, landed: bool
) -> None:
    with monkeypatch.context() as patch:
        losing(patch, "COMMIT")
        if landed:
            assert len(bulk.load(table, ROWS, directory="d", name="n", landed=lambda: True)) == 1
        else:
            with pytest.raises(RetryableError, match="answer to a COMMIT"):
                bulk.load(table, ROWS, directory="d", name="n")
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(2,)]


def test_a_lost_answer_to_a_copy_loads_nothing(
    session: Session, bulk: Bulk, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        losing(patch, "COPY")
        with pytest.raises(RetryableError):
            bulk.load(table, ROWS, directory="d", name="n", landed=lambda: True)
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(0,)]


@pytest.mark.parametrize(
    "fault",
    [
        {"route": "sql", "match": "^COPY", "cut": "after"},
        {"route": "sql", "match": "^COMMIT", "cut": "after"},
        {"route": "put", "cut": "after"},
        {"route": "put", "delay": 0.5},
        {"route": "put", "status": 503, "body": "<Error><Code>SlowDown</Code></Error>"},
    ],
)
def test_rows_are_loaded_once_whatever_is_slow_or_cut(
    session: Session, bulk: Bulk, table: str, emulator: Emulator, fault: dict[str, Any]
) -> None:
    emulator.fault(**fault)
    bulk.load(table, ROWS, directory="d", name="n")
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(2,)]


def test_a_stage_that_refuses(session: Session, bulk: Bulk, table: str, emulator: Emulator) -> None:
    emulator.fault("put", status=403, times=20, body="<Error><Code>ExpiredToken</Code></Error>")
    with pytest.raises(RetryableError):
        bulk.load(table, ROWS, directory="d", name="n")
    emulator.control("faults", method="DELETE")
    bulk.load(table, ROWS, directory="d", name="n")


def test_no_table(session: Session, bulk: Bulk, schema: str) -> None:
    with pytest.raises(AuthError):
        bulk.load(f'"{schema}"."NOWHERE"', ROWS, directory="d", name="n")


def test_removing_never_fails(session: Session, bulk: Bulk, emulator: Emulator) -> None:
    staged = bulk.upload(ROWS, "d", "n")
    emulator.fault("sql", match="^REMOVE", error={"code": "000625", "state": "57014", "message": "no"})
    bulk.remove([staged])
