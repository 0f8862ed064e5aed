from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from attrs import evolve

from etl_core import AddColumn, StateError, Stream, TableSchema, pack_seq
from etl_snowflake import control, merging, tasks
from etl_snowflake.client import Session
from etl_snowflake.control import Kept
from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.names import Names, task_name
from etl_snowflake.tables import Tables

_COLUMNS = pa.schema([pa.field("id", pa.int64()), ("name", pa.string()), ("tags", pa.list_(pa.int8()))])


def _seq(number: int) -> str:
    return pack_seq(1, number, 0).hex()


@pytest.fixture
def wanted(schema: str) -> TableSchema:
    return TableSchema(
        Stream(f"{schema}_TO", "it's"), _COLUMNS, ("id",), pa.schema([]), bytes.fromhex(_seq(1))
    )


@pytest.fixture
def tables(session: Session, names: Names, wanted: TableSchema) -> Tables:
    control.install(session, names)
    control.claim(session, names, "p", "fence")
    session.execute(f"DROP SCHEMA IF EXISTS {names.schema(wanted.stream.namespace)}")
    return Tables(session, names, "p", "fence")


def _install(tables: Tables, kept: Kept, minutes: int = 60) -> None:
    tasks.install(tables.session, tables.names, "p", "fence", kept, warehouse="ETL_WH", minutes=minutes)


def _land(
    tables: Tables, kept: Kept, number: int, id: int, name: str, *, op: str = "u", gone: str = ""
) -> Kept:
    windows = merging.extend(kept.windows, _seq(number), bool(gone))
    unchanged = f"ARRAY_CONSTRUCT('{gone}')" if gone else "NULL"
    with tables.session.transaction():
        tables.session.execute(
            f'INSERT INTO {tables.names.ours(kept.landing)} (ID, NAME, TAGS, "_ETL_OP", "_ETL_SEQ",'
            f" \"_ETL_UNCHANGED\") SELECT ?, ?, PARSE_JSON('[1]')::ARRAY, ?, ?, {unchanged}",
            [id, name, op, _seq(number)],
        )
        control.advance(tables.session, tables.names, "p", kept.stream, _seq(number), windows)
    return evolve(kept, mark=_seq(number), windows=windows)


def _hand_over(tables: Tables, kept: Kept, number: int) -> Kept:
    kept, rejected = tasks.hand_over(tables.session, tables.names, "p", "fence", kept, _seq(number))
    assert rejected == []
    return kept


def _run(tables: Tables, kept: Kept, emulator: Emulator) -> dict[str, Any]:
    """Let the task run once; return how that went."""
    before = len(_runs(emulator, kept))
    tables.session.execute(f"EXECUTE TASK {tables.names.ours(task_name(kept.landing))}")
    assert wait_until(lambda: len(_runs(emulator, kept)) > before)
    return _runs(emulator, kept)[-1]


def _runs(emulator: Emulator, kept: Kept) -> list[dict[str, Any]]:
    name = f".{task_name(kept.landing)}"
    return [run for run in emulator.control("tasks") if run["task"].endswith(name)]


def _rows(tables: Tables, kept: Kept) -> list[tuple[Any, ...]]:
    return tables.session.execute(f"SELECT ID, NAME FROM {kept.target(tables.names)} ORDER BY ID")


def _landed(tables: Tables, kept: Kept) -> int:
    return int(tables.session.execute(f"SELECT COUNT(*) FROM {tables.names.ours(kept.landing)}")[0][0])


def _found(tables: Tables, kept: Kept) -> Kept:
    found = control.find(tables.session, tables.names, "p", kept.stream)
    assert found is not None
    return found


def test_the_task_merges_what_is_ready(tables: Tables, wanted: TableSchema, emulator: Emulator) -> None:
    kept = tables.ensure(wanted, (), None)
    _install(tables, kept)
    kept = _land(tables, kept, 1, 1, "one")
    kept = _land(tables, kept, 2, 2, "two")
    kept = _hand_over(tables, kept, 2)
    assert _rows(tables, kept) == [], "the pipeline has merged itself"
    kept = _land(tables, kept, 3, 1, "not ready")
    assert _run(tables, kept, emulator)["state"] == "SUCCEEDED"
    assert _rows(tables, kept) == [(1, "one"), (2, "two")]
    assert (_found(tables, kept).merged, _landed(tables, kept)) == (_seq(2), 1)
    kept = _land(tables, kept, 4, 2, "", op="d")
    kept = _hand_over(tables, kept, 4)
    _run(tables, kept, emulator)
    _run(tables, kept, emulator)
    assert _rows(tables, kept) == [(1, "not ready")]
    assert (_found(tables, kept).merged, _landed(tables, kept)) == (_seq(4), 0)


def test_rows_that_lack_columns_are_the_pipelines(
    tables: Tables, wanted: TableSchema, emulator: Emulator
) -> None:
    kept = tables.ensure(wanted, (), None)
    _install(tables, kept)
    kept = _land(tables, kept, 1, 1, "one")
    kept = _land(tables, kept, 2, 1, "uno", gone="tags")
    kept = _land(tables, kept, 3, 2, "two")
    kept = _hand_over(tables, kept, 3)
    assert _rows(tables, kept) == [(1, "uno")]
    assert (kept.merged, kept.ready) == (_seq(2), _seq(3))
    _run(tables, kept, emulator)
    assert _rows(tables, kept) == [(1, "uno"), (2, "two")]
    kept = _land(tables, kept, 4, 2, "dos", gone="tags")
    kept = _hand_over(tables, kept, 4)
    assert kept.ready == _seq(3), "the task is let past a row that it cannot merge"
    assert _rows(tables, kept) == [(1, "uno"), (2, "dos")]
    assert _hand_over(tables, kept, 4) == kept


def test_pipeline_and_task_do_not_merge_twice(
    tables: Tables, wanted: TableSchema, emulator: Emulator
) -> None:
    kept = tables.ensure(wanted, (), None)
    _install(tables, kept)
    kept = _land(tables, kept, 1, 1, "one")
    kept = _hand_over(tables, kept, 1)
    _run(tables, kept, emulator)
    tables.session.execute(f"DELETE FROM {kept.target(tables.names)}")  # as somebody else may
    merging.merge(tables.session, tables.names, "p", "fence", kept, _seq(1))
    _run(tables, kept, emulator)
    assert _rows(tables, kept) == []


def test_the_task_is_made_again_for_other_columns(
    tables: Tables, wanted: TableSchema, emulator: Emulator
) -> None:
    kept = tables.ensure(wanted, (), None)
    _install(tables, kept)
    more = evolve(wanted, columns=pa.schema([*_COLUMNS, ("doc", pa.json_())]), seq=bytes.fromhex(_seq(2)))
    kept = tables.ensure(more, [AddColumn("doc", pa.json_())], kept)
    _install(tables, kept)
    kept = _land(tables, kept, 3, 1, "one")
    tables.session.execute(f"UPDATE {tables.names.ours(kept.landing)} SET DOC = PARSE_JSON('{{\"a\": 1}}')")
    _run(tables, _hand_over(tables, kept, 3), emulator)
    found = tables.session.execute(
        f"SELECT TYPEOF(TAGS), TYPEOF(DOC), DOC:a FROM {kept.target(tables.names)}"
    )
    assert found == [("ARRAY", "OBJECT", "1")]


def test_the_task_runs_by_its_schedule_until_it_is_removed(
    tables: Tables, wanted: TableSchema, emulator: Emulator
) -> None:
    kept = tables.ensure(wanted, (), None)
    _install(tables, kept, minutes=1)
    kept = _hand_over(tables, _land(tables, kept, 1, 1, "one"), 1)
    assert wait_until(lambda: _rows(tables, kept) == [(1, "one")])
    tasks.remove(tables.session, tables.names, "p", "fence", kept)
    tasks.remove(tables.session, tables.names, "p", "fence", kept)
    assert (
        tables.session.execute(f"SHOW TASKS IN SCHEMA {tables.names.schema(tables.names.landing_schema)}")
        == []
    )


def test_a_task_that_fails_undoes_what_it_did(
    tables: Tables, wanted: TableSchema, emulator: Emulator
) -> None:
    kept = tables.ensure(wanted, (), None)
    _install(tables, kept)
    kept = _hand_over(tables, _land(tables, kept, 1, 1, "one"), 1)
    tables.session.execute(f"ALTER TABLE {kept.target(tables.names)} RENAME COLUMN NAME TO OTHER")
    run = _run(tables, kept, emulator)
    assert (run["state"], run["error"]) == ("FAILED", "000904")
    assert (_found(tables, kept).merged, _landed(tables, kept)) == (None, 1)
    tables.session.execute(f"ALTER TABLE {kept.target(tables.names)} RENAME COLUMN OTHER TO NAME")
    assert _run(tables, kept, emulator)["state"] == "SUCCEEDED"
    assert _rows(tables, kept) == [(1, "one")]


def test_a_task_that_does_not_know_a_column_merges_nothing(
    tables: Tables, wanted: TableSchema, emulator: Emulator
) -> None:
    before = tables.ensure(wanted, (), None)
    more = evolve(wanted, columns=pa.schema([*_COLUMNS, ("age", pa.int64())]), seq=bytes.fromhex(_seq(2)))
    kept = tables.ensure(more, [AddColumn("age", pa.int64())], before)
    _install(tables, before)
    kept = _hand_over(tables, _land(tables, kept, 3, 1, "one"), 3)
    assert _run(tables, kept, emulator)["state"] == "SUCCEEDED"
    assert (_rows(tables, kept), _landed(tables, kept)) == ([], 1)
    assert _found(tables, kept).merged is None
    _install(tables, kept)
    _run(tables, kept, emulator)
    assert (_rows(tables, kept), _landed(tables, kept)) == ([(1, "one")], 0)


def test_a_copy_that_lost_its_fence_touches_no_task(tables: Tables, wanted: TableSchema) -> None:
    kept = tables.ensure(wanted, (), None)
    _install(tables, kept)
    control.claim(tables.session, tables.names, "p", "another")
    with pytest.raises(StateError, match="another copy"):
        _install(tables, kept, minutes=5)
    with pytest.raises(StateError, match="another copy"):
        tasks.remove(tables.session, tables.names, "p", "fence", kept)
    (task,) = tables.session.execute(
        f"SHOW TASKS IN SCHEMA {tables.names.schema(tables.names.landing_schema)}"
    )
    assert "60 MINUTES" in task


def test_a_task_knows_columns_that_another_release_has_written(
    tables: Tables, wanted: TableSchema, emulator: Emulator
) -> None:
    kept = tables.ensure(wanted, (), None)
    tables.session.execute(f"UPDATE {tables.names.ours(control.STREAMS)} SET COLUMNS = CONCAT(COLUMNS, ' ')")
    _install(tables, kept)
    kept = _hand_over(tables, _land(tables, kept, 1, 1, "one"), 1)
    _run(tables, kept, emulator)
    assert _rows(tables, kept) == [(1, "one")]
