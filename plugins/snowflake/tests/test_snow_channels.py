"""Whose a channel is, from life to life and from snapshot to snapshot; and when the fence is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pyarrow as pa
import pytest

from etl_core import RetryableError, SchemaError, StateError, Stream
from etl_core.testing.destination.session import Session as Driven
from etl_core.testing.script import Script
from etl_snowflake import control, mirroring
from etl_snowflake.client import Session, sdk_errors
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.names import Names
from etl_snowflake.streaming import Channel, Place, channel_name, writer

Open = Callable[..., Driven]
Ids = Callable[[], list[int]]
COLUMNS = pa.schema([pa.field("id", pa.int64(), nullable=False), ("name", pa.string())])


@pytest.fixture
def target(schema: str) -> Stream:
    """A stream that lands in a schema of the test's own."""
    return Stream(f"{schema}_T"[-200:], "orders")


@pytest.fixture
def script(target: Stream) -> Script:
    return Script(target, COLUMNS)


@pytest.fixture
def start(drive: Open) -> Open:
    """Open destinations that stream."""

    def start(fence: str = "kit", load: str = "append", **changed: Any) -> Driven:
        return drive(load, fence, **{"streaming": "rest", **changed})

    return start


@pytest.fixture
def ids(emulator: Emulator, target: Stream) -> Ids:
    """Give the keys in the target, as often as they are there."""

    def read() -> list[int]:
        table = emulator.rows(f'{emulator.database}."{target.namespace}"."ORDERS"', order="1")
        return sorted(map(int, table.column("ID").to_pylist()))

    return read


def _row(number: int) -> dict[str, Any]:
    return {"id": number, "name": "new"}


def _wait_until_durable(driven: Driven) -> None:
    """Mark what was told, and wait for that; nothing of it is kept with the mark then."""
    position = driven.position()
    driven.destination.mark(position)
    assert wait_until(lambda: (driven.destination.durable() or (None,))[0] == position)


@pytest.mark.parametrize("way", ["rest", "sdk"])
def test_what_was_streamed_is_known_when_streaming_is_switched_off(
    start: Open, script: Script, ids: Ids, way: str
) -> None:
    script.insert(_row(1), _row(2)).commit()
    first = start(streaming=way)
    first.tell(script)
    _wait_until_durable(first)
    first.destination.close()
    second = start("later", streaming="off")
    second.tell(script)
    second.flush()
    assert ids() == [1, 2]


def test_a_snapshot_begins_when_all_that_was_streamed_is_committed(
    start: Open, script: Script, emulator: Emulator, ids: Ids
) -> None:
    """Through the channel of the generation before nothing comes later, and nobody uses it any more."""
    script.snapshot([_row(1)]).insert(_row(2)).commit()
    first = start()
    first.tell(script, 0, 2)
    emulator.switch(commit_delay=0.6)
    first.tell(script, 2)
    first.destination.abort()
    first.destination.close()
    emulator.switch(commit_delay=0.05)
    second = start("later")
    second.tell(script)
    second.flush()
    assert ids() == [1, 2]


def test_a_displaced_copy_does_not_take_the_channel(start: Open, script: Script, ids: Ids) -> None:
    script.insert(_row(1)).commit().insert(_row(2)).commit().insert(_row(3)).commit()
    before = start("before")
    before.tell(script, 0, 1)
    before.flush()
    before.destination.close()
    displaced, winner = start("displaced"), start("winner")
    winner.tell(script, 1, 2)
    with pytest.raises(StateError):
        displaced.tell(script, 1, 2)
    winner.tell(script, 2, 3)
    winner.flush()
    assert ids() == [1, 2, 3]


def _take(channel_of: Script, driven: Driven, config: SnowflakeConfig, pipeline: str) -> Channel:
    """Open the channel of a history's first generation, as a copy does that has just lost its fence."""
    stream = channel_of.stream
    name = channel_name(pipeline, str(stream), 0)
    place = Place(config.database, stream.namespace.upper(), stream.name.upper())
    settings = attrs.evolve(config, streaming="rest")
    wait = driven._ctx.cancel.wait
    return Channel(writer(settings, place, name, wait), name, wait=wait, patience=10)


def test_a_channel_that_was_taken_is_opened_again_by_who_has_the_fence(
    start: Open, script: Script, config: SnowflakeConfig, schema: str, ids: Ids
) -> None:
    script.insert(_row(1)).commit().insert(_row(2)).commit()
    driven = start()
    driven.tell(script, 0, 1)
    _wait_until_durable(driven)
    taken = _take(script, driven, config, schema)
    with pytest.raises(RetryableError, match="lost its fence"):
        driven.tell(script, 1)
    taken.close()
    driven.abort()
    driven.tell(script)
    driven.flush()
    assert ids() == [1, 2]


def test_who_has_lost_the_fence_and_the_channel_says_so(
    start: Open, script: Script, config: SnowflakeConfig, schema: str
) -> None:
    script.insert(_row(1)).commit().insert(_row(2)).commit()
    driven = start()
    driven.tell(script, 0, 1)
    _wait_until_durable(driven)
    start("winner")
    _take(script, driven, config, schema).close()
    with pytest.raises(StateError, match="opened the destination"):
        driven.tell(script, 1)


def _transactions(statements: Sequence[str]) -> list[list[str]]:
    """Split what was sent into the transactions that were committed."""
    found: list[list[str]] = []
    for sql in statements:
        if sql == "BEGIN":
            found.append([])
        elif sql == "COMMIT" or (found and "COMMIT" not in found[-1]):
            found[-1].append(sql)
    return [each[:-1] for each in found if each[-1:] == ["COMMIT"]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that were sent."""
    statements: list[str] = []
    execute = Session.execute

    def noting(self: Session, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        statements.append(sql)
        return execute(self, sql, parameters)

    monkeypatch.setattr(Session, "execute", noting)
    return statements


@pytest.mark.parametrize("minutes", [None, 60], ids=["no-task", "task"])
@pytest.mark.parametrize("load", ["append", "upsert"])
def test_the_fence_is_locked_for_a_moment(
    start: Open, script: Script, sent: list[str], load: str, minutes: int | None
) -> None:
    """Each transaction asks for it last; a mirror's task finds the stream's row changed first."""
    script.insert(_row(1)).commit().snapshot([_row(2)]).insert(_row(3)).commit()
    script.truncate().insert(_row(4)).commit()
    driven = start(load=load, streaming="off", task_schedule_minutes=minutes)
    driven.tell(script)
    driven.flush()
    for transaction in _transactions(sent):
        asked = [number for number, sql in enumerate(transaction) if re.search(r"SET FENCE = FENCE", sql)]
        assert asked == [len(transaction) - 1], transaction
        changed = [number for number, sql in enumerate(transaction) if re.match(r"UPDATE .*ETL_STREAMS", sql)]
        moved = [sql for sql in transaction if re.match(r"DELETE|INSERT OVERWRITE|MERGE", sql)]
        if moved and changed:
            assert changed == ([0] if minutes else [len(transaction) - 2]), transaction


def test_who_meets_the_tables_of_a_later_opener_has_lost_the_fence(
    session: Session, names: Names, emulator: Emulator
) -> None:
    control.install(session, names)
    control.claim(session, names, "p", "mine")
    for fence, error in (("mine", SchemaError), ("another's", StateError)):
        with pytest.raises(error), control.transaction(session, names, "p", fence):
            raise SchemaError("a statement does not fit the tables that are there")
    assert not session.in_transaction


@pytest.mark.parametrize("saved", [True, False])
def test_a_snapshot_is_added_to_one_that_was_saved_and_replaces_one_that_was_not(
    start: Open, script: Script, ids: Ids, *, saved: bool
) -> None:
    """Also where the run was killed right after, and told its destination nothing any more."""
    script.snapshot([_row(1)]).insert(_row(2)).commit()
    first = len(script.transactions)
    script.snapshot([_row(1), _row(2)])
    killed = start(streaming="off")
    killed.tell(script, 0, first)
    before, after = killed.position(), killed.flush()
    killed.destination.abort()
    killed.destination.close()
    later = start("later", streaming="off")
    later.destination.saved(after if saved else before)
    later.tell(script, first)
    later.flush()
    assert ids() == ([1, 1, 2, 2] if saved else [1, 2])


def test_a_task_that_does_not_run_is_not_waited_for(
    start: Open, script: Script, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirroring, "_SCHEDULES", 0)
    script.insert(_row(1)).commit()
    driven = start(load="upsert", streaming="off", task_schedule_minutes=10_000)
    driven.tell(script)
    driven.flush()
    assert ids() == []
    driven.flush()
    assert ids() == [1]


class PanicException(BaseException):
    """What a client in Rust raises."""


@pytest.mark.parametrize(
    ("raised", "error"),
    [(ValueError(), SchemaError), (RuntimeError(), RetryableError), (PanicException(), RetryableError)],
)
def test_faults_of_the_streaming_client_are_ours(raised: BaseException, error: type[Exception]) -> None:
    with pytest.raises(error), sdk_errors():
        raise raised
    with pytest.raises(KeyboardInterrupt), sdk_errors():
        raise KeyboardInterrupt
