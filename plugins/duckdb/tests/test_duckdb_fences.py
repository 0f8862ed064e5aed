"""Several writers of one file: pipelines beside each other, and copies of one pipeline."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest

from etl_core import EtlError, Mode, StateError, Step, Stream

SCHEMA = pa.schema([("id", pa.int64()), ("note", pa.string())])


def test_the_last_opener_wins_and_the_other_stops(make_duck: Any) -> None:
    first, second = make_duck().open("one"), make_duck().open("two")
    first.ensure(SCHEMA, ["id"])
    first.append({"id": 1})
    with pytest.raises(StateError) as error:
        first.flush("stolen")
    assert error.value.facts["pipeline"] == "shop"
    second.ensure(SCHEMA, ["id"])
    second.append({"id": 2})
    position = second.flush("mine")
    assert second.query() == [(2, None)]
    assert second.destination.resume_position() == position


def test_an_opener_in_the_middle_of_a_transaction_wins_too(make_duck: Any) -> None:
    first = make_duck().open("one")
    first.ensure(SCHEMA, ["id"])
    first.append({"id": 1})
    second = make_duck().open("two")
    with pytest.raises(StateError):
        first.flush()
    first.destination.abort()
    first.ensure(SCHEMA, ["id"])
    with pytest.raises(StateError):
        first.flush()
    second.ensure(SCHEMA, ["id"])
    second.flush()
    assert second.query() == []


def test_setting_the_position_requires_the_fence(make_duck: Any) -> None:
    first, second = make_duck().open("one"), make_duck().open("two")
    with pytest.raises(StateError):
        first.destination.set_position(None)
    second.destination.set_position(None)


def test_opening_again_needs_no_close(duck: Any) -> None:
    duck.ensure(SCHEMA, ["id"])
    duck.open("new")
    assert duck.destination.table(Stream("shop", "orders")) is None
    duck.ensure(SCHEMA, ["id"])
    duck.flush()


def test_pipelines_share_a_file_and_keep_their_own_positions(make_duck: Any) -> None:
    """Threads of one process, as a manager runs them: each commits many times beside the others."""
    ducks = [make_duck(pipeline=f"pipeline {n}") for n in range(4)]
    failures: list[EtlError] = []

    def run(duck: Any, table: Stream) -> None:
        try:
            duck.open("fence")
            duck.ensure(SCHEMA, ["id"], stream=table)
            for n in range(10):
                if n == 5:
                    snapshot(duck, table)
                duck.merge({"id": n % 3, "note": str(n)}, stream=table)
                duck.flush(n)
        except EtlError as error:
            failures.append(error)

    tables = [Stream("shop", f"t{n}") for n in range(4)]
    threads = [threading.Thread(target=run, args=pair) for pair in zip(ducks, tables, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures
    for duck, table in zip(ducks, tables, strict=True):
        assert duck.destination.resume_position().value == 9
        assert duck.query(f"FROM shop.{table.name} ORDER BY id") == [(0, "9"), (1, "7"), (2, "8"), (5, "new")]


def snapshot(duck: Any, table: Stream) -> None:
    """Begin a snapshot of one row, and end it after a flush."""
    duck.write(Mode.MERGE, step=Step.BEGIN, stream=table)
    duck.flush()
    duck.write(Mode.MERGE, duck.rows([{"id": 5, "note": "new", "_etl_op": "r"}], table), Step.ROWS, table)
    duck.write(Mode.MERGE, step=Step.END, stream=table)
