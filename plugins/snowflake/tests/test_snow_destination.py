"""The destination driven call by call: ways in, marks, merges meanwhile, fences, rows refused late."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from etl_core import Duration, Position, Rejected, Size, StateError, Stream
from etl_core.testing.destination.session import Session as Driven
from etl_core.testing.script import Script
from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until

Open = Callable[..., Driven]
COLUMNS = pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string()), ("x", pa.float64())])


@pytest.fixture
def stream(schema: str) -> Stream:
    """A stream that lands in a schema of the test's own."""
    return Stream(f"{schema}_T"[-200:], "orders")


@pytest.fixture
def script(stream: Stream) -> Script:
    return Script(stream, COLUMNS)


@pytest.fixture
def start(drive: Open) -> Open:
    """Open destinations that stream."""

    def start(load: str = "append", fence: str = "fence", **changed: Any) -> Driven:
        return drive(load, fence, **{"streaming": "rest", **changed})

    return start


@pytest.fixture
def rows(emulator: Emulator, stream: Stream) -> Callable[[], list[tuple[Any, ...]]]:
    """Give the ids and names in the target."""

    def read() -> list[tuple[Any, ...]]:
        table = emulator.rows(f'{emulator.database}."{stream.namespace}"."ORDERS"', order="1")
        ids = [int(each) for each in table.column("ID").to_pylist()]
        return list(zip(ids, table.column("NAME").to_pylist(), strict=True))

    return read


def _row(id: int, name: str = "new", x: float | None = None) -> dict[str, Any]:
    return {"id": id, "name": name, "x": x}


def _durable(driven: Driven, position: Position) -> Sequence[Rejected]:
    """Wait until a mark is durable; return what was refused."""
    refused: list[Rejected] = []

    def done() -> bool:
        told = driven.destination.durable()
        refused.extend((told[1] or ()) if told else ())
        return told is not None and told[0] == position

    assert wait_until(done)
    return refused


def _kinds(emulator: Emulator) -> set[str]:
    return {each["text"].split()[0] for each in emulator.statements()}


def test_small_changes_are_streamed(start: Open, script: Script, emulator: Emulator, rows: Any) -> None:
    driven = start()
    script.insert(_row(1), _row(2)).commit()
    driven.tell(script)
    position = driven.position()
    driven.destination.mark(position)
    assert not _durable(driven, position)
    assert rows() == [(1, "new"), (2, "new")]
    assert emulator.counts().get("rows_streamed") == 2
    assert "COPY" not in _kinds(emulator)


@pytest.mark.parametrize(
    ("changed", "x"), [({"bulk_bytes": Size(10)}, 1.0), ({"streaming": "off"}, 1.0), ({}, float("nan"))]
)
def test_what_is_large_or_cannot_be_streamed_is_copied(
    start: Open, script: Script, emulator: Emulator, rows: Any, changed: dict[str, Any], x: float
) -> None:
    driven = start(**changed)
    script.insert(_row(1, x=x)).commit()
    driven.tell(script)
    driven.flush()
    assert rows() == [(1, "new")]
    assert emulator.counts().get("rows_streamed", 0) == 0
    assert "COPY" in _kinds(emulator)


def test_both_ways_in_take_turns(start: Open, script: Script, rows: Any) -> None:
    for number in range(6):
        script.insert(_row(number, x=float("inf") if number % 2 else 1.0)).commit()
    driven = start()
    driven.tell(script, cut=1)
    driven.flush()
    again = start(fence="again")
    again.tell(script, cut=2)
    again.flush()
    assert [row[0] for row in rows()] == list(range(6))


def test_changes_are_merged_while_the_run_goes_on(start: Open, script: Script, rows: Any) -> None:
    driven = start("upsert", merge_interval=Duration(0.2))
    script.insert(_row(1), _row(2)).commit()
    driven.tell(script)
    driven.destination.mark(driven.position())
    assert wait_until(lambda: driven.destination.durable() is not None)
    assert wait_until(lambda: rows() == [(1, "new"), (2, "new")])
    script.update(_row(1, "newer")).delete({"id": 2}).commit()
    driven.tell(script, 1)
    driven.destination.mark(driven.position())
    assert wait_until(lambda: rows() == [(1, "newer")])


def test_what_a_life_before_has_landed_is_merged(start: Open, script: Script, rows: Any) -> None:
    driven = start("upsert")
    script.insert(_row(1)).commit()
    driven.tell(script)
    position = driven.position()
    driven.destination.mark(position)
    _durable(driven, position)
    driven.destination.close()
    assert rows() == []
    start("upsert", fence="next").flush()
    assert rows() == [(1, "new")]


def test_rows_that_are_refused_without_a_word_are_found(
    start: Open, script: Script, emulator: Emulator, rows: Any
) -> None:
    emulator.switch(reject=[{"table": "ORDERS", "column": "NAME", "matching": "^bad"}])
    driven = start()
    script.insert(_row(1), _row(2, "bad"), _row(3)).commit()
    driven.tell(script)
    position = driven.position()
    driven.destination.mark(position)
    (refused,) = _durable(driven, position)
    assert (refused.code, refused.rows.column("id").to_pylist()) == ("snowflake_rejected", [2])
    assert rows() == [(1, "new"), (3, "new")]


@pytest.mark.parametrize("streaming", ["off", "rest"])
def test_a_copy_that_was_displaced_commits_nothing(
    start: Open, script: Script, rows: Any, streaming: str
) -> None:
    script.insert(_row(1)).commit().insert(_row(2)).commit()
    first = start(streaming=streaming)
    first.tell(script, 0, 1)
    first.flush()
    second = start(fence="second", streaming=streaming)
    second.tell(script, 0, 1)
    with pytest.raises(StateError):
        _try(first, script)
    second.tell(script, 1)
    second.flush()
    assert [row[0] for row in rows()] == [1, 2]


def _try(driven: Driven, script: Script) -> None:
    driven.tell(script, 1)
    driven.flush()


def test_an_answer_to_a_commit_that_is_lost(
    start: Open, script: Script, emulator: Emulator, rows: Any
) -> None:
    driven = start(streaming="off")
    script.insert(_row(1)).commit()
    driven.tell(script)
    emulator.fault("sql", match="^COMMIT", cut="after", times=1)
    driven.flush()
    assert rows() == [(1, "new")]


def test_a_snapshot_of_a_history_that_comes_again(start: Open, script: Script, rows: Any) -> None:
    script.snapshot([_row(1), _row(2)], parts=2).insert(_row(3)).commit()
    for number in range(3):
        driven = start(fence=str(number))
        driven.tell(script)
        driven.flush()
        driven.destination.close()
    assert [row[0] for row in rows()] == [1, 2, 3]


def test_a_later_snapshot_joins_a_history_once_the_first_is_saved(
    start: Open, script: Script, rows: Any
) -> None:
    script.snapshot([_row(1)]).insert(_row(2)).commit()
    first = len(script.transactions)
    script.snapshot([_row(1, "again")])
    driven = start()
    driven.tell(script, 0, first)
    driven.flush()
    driven.flush()  # the engine goes on: what it was told is saved
    driven.tell(script, first)
    driven.flush()
    assert sorted(rows()) == [(1, "again"), (1, "new"), (2, "new")]


def test_after_an_abort_everything_may_come_again(start: Open, script: Script, rows: Any) -> None:
    script.insert(_row(1)).commit().insert(_row(2)).commit()
    driven = start("upsert")
    driven.tell(script)
    driven.abort()
    driven.tell(script)
    driven.flush()
    assert [row[0] for row in rows()] == [1, 2]


def test_what_is_counted(start: Open, script: Script) -> None:
    driven = start("upsert", streaming="off")
    script.insert(_row(1)).commit()
    driven.tell(script)
    driven.flush()
    ctx: Any = driven._ctx
    ctx._listening.close(5)
    counted = {event.facts["metric"] for event in ctx.listener.events if event.name == "metric"}
    assert counted >= {"snowflake.copies", "snowflake.files", "snowflake.merges", "snowflake.copied_bytes"}


def test_a_task_merges(start: Open, script: Script, emulator: Emulator, rows: Any, schema: str) -> None:
    driven = start("upsert", task_schedule_minutes=1)
    script.insert(_row(1), _row(2)).commit()
    driven.tell(script)
    driven.flush()
    assert wait_until(lambda: rows() == [(1, "new"), (2, "new")])
    script.delete({"id": 1}).commit().update({"id": 2, "x": 1.0}, unchanged=["name"]).commit()
    driven.tell(script, 1)
    driven.flush()
    assert wait_until(lambda: rows() == [(2, "new")])
    by = {each["by"].split()[0] for each in emulator.statements() if "WHEN NOT MATCHED" in each["text"]}
    assert by >= {"task", "client"}
