"""Snapshots are durable while they run and appear at their end, whoever finishes them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from etl_core import AddColumn, Mode, StateError, Step, Stream

SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])


@pytest.fixture
def mirror(duck: Any) -> Any:
    """Return a destination with one old row in its table, durable."""
    duck.ensure(SCHEMA, ["id"])
    duck.merge({"id": 0, "note": "old"})
    duck.flush()
    return duck


def begin(duck: Any, mode: Mode = Mode.MERGE) -> None:
    duck.write(mode, step=Step.BEGIN)


def rows(duck: Any, *ids: int, note: str = "new", mode: Mode = Mode.MERGE) -> None:
    built = duck.rows([{"id": id_, "note": note, "_etl_op": "r"} for id_ in ids])
    duck.write(mode, built if mode is Mode.MERGE else built.select(SCHEMA.names), Step.ROWS)


def end(duck: Any, mode: Mode = Mode.MERGE) -> None:
    duck.write(mode, step=Step.END)


@pytest.mark.parametrize(
    ("mode", "expected"), [(Mode.APPEND, [0, 1, 2]), (Mode.MERGE, [1, 2]), (Mode.REPLACE, [1, 2])]
)
def test_a_run_survives_a_restart_and_appears_at_its_end(
    mirror: Any, mode: Mode, expected: list[int]
) -> None:
    begin(mirror, mode)
    rows(mirror, 1, mode=mode)
    mirror.flush()
    assert mirror.query() == [(0, "old")]
    rows(mirror, 77, mode=mode)
    mirror.close()
    mirror.open("another process")
    assert mirror.query() == [(0, "old")]
    rows(mirror, 2, mode=mode)
    mirror.flush()
    assert mirror.query() == [(0, "old")]
    end(mirror, mode)
    assert [row[0] for row in mirror.pending()] == expected
    assert mirror.query() == [(0, "old")]
    mirror.flush()
    assert [row[0] for row in mirror.query()] == expected
    assert mirror.query("SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE 'staged%'") == [(0,)]


def test_beginning_again_discards_the_unfinished_run(mirror: Any) -> None:
    begin(mirror)
    rows(mirror, 1)
    mirror.flush()
    begin(mirror)
    rows(mirror, 2)
    end(mirror)
    assert mirror.pending() == [(2, "new")]


def test_of_repeated_rows_the_last_one_stays(mirror: Any) -> None:
    begin(mirror)
    rows(mirror, 1, 2, note="first")
    mirror.flush()
    mirror.close()
    mirror.open()
    rows(mirror, 1, 3, note="second")
    rows(mirror, 1, note="third")
    end(mirror)
    assert mirror.pending() == [(1, "third"), (2, "first"), (3, "second")]


def test_repeated_rows_without_merge_all_stay(mirror: Any) -> None:
    begin(mirror, Mode.APPEND)
    rows(mirror, 1, 1, mode=Mode.APPEND)
    end(mirror, Mode.APPEND)
    assert [row[0] for row in mirror.pending()] == [0, 1, 1]


def test_an_empty_snapshot_empties_a_mirror(mirror: Any) -> None:
    begin(mirror)
    end(mirror)
    assert mirror.pending() == []


def test_staged_rows_follow_a_schema_change(mirror: Any) -> None:
    begin(mirror)
    rows(mirror, 1)
    wider = SCHEMA.append(pa.field("n", pa.int32()))
    mirror.ensure(wider, ["id"], [AddColumn("n", pa.int32(), 7)], seq=b"1" * 20)
    rows(mirror, 2)
    end(mirror)
    assert mirror.pending() == [(1, "new", 7), (2, "new", None)]


@pytest.mark.parametrize("step", [Step.ROWS, Step.END])
def test_rows_of_a_run_that_the_file_does_not_know_are_an_error(mirror: Any, step: Step) -> None:
    with pytest.raises(StateError):
        mirror.write(Mode.MERGE, mirror.rows([{"id": 1}]) if step is Step.ROWS else None, step)


def test_a_row_that_cannot_be_staged_is_refused(mirror: Any) -> None:
    begin(mirror)
    refused = mirror.write(Mode.MERGE, mirror.rows([{"id": None, "note": "x"}, {"id": 1}]), Step.ROWS)
    assert [each.code for each in refused] == ["null_key"]
    end(mirror)
    assert mirror.pending() == [(1, None)]


def test_clearing_the_position_discards_unfinished_runs_of_that_pipeline_only(
    mirror: Any, make_duck: Any
) -> None:
    other = make_duck(pipeline='oth"er').open()
    for duck in (mirror, other):
        duck.ensure(SCHEMA, ["id"], stream=Stream("shop", "orders"))
        begin(duck)
        rows(duck, 1)
        duck.flush()
    mirror.destination.set_position(None)
    with pytest.raises(StateError):
        end(mirror)
    end(other)
    assert other.pending() == [(1, "new")]


FORMER = '_etl."staged [""shop"", ""shop"", ""orders""]"'


def unfinished_before(mirror: Any) -> None:
    """Leave an unfinished snapshot as a version before did."""
    begin(mirror)
    rows(mirror, 1, 2)
    db = mirror.destination._db()
    db.run(f'CREATE TABLE {FORMER} AS FROM shop."_etl staged [""shop"", ""orders""]"')
    db.run('DROP TABLE shop."_etl staged [""shop"", ""orders""]"')
    mirror.flush()


def test_a_run_of_a_version_before_goes_on(mirror: Any) -> None:
    unfinished_before(mirror)
    rows(mirror, 3)
    end(mirror)
    mirror.flush()
    assert mirror.query() == [(1, "new"), (2, "new"), (3, "new")]
    assert staged_tables(mirror) == []


@pytest.mark.parametrize("how", ["begun again", "cleared"])
def test_a_run_of_a_version_before_is_discarded(mirror: Any, how: str) -> None:
    unfinished_before(mirror)
    if how == "cleared":
        mirror.destination.set_position(None)
    else:
        begin(mirror)
        end(mirror)
        mirror.flush()
    assert staged_tables(mirror) == []


def staged_tables(duck: Any) -> list[Any]:
    return list(duck.query("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '%staged%'"))
