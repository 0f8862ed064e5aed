from __future__ import annotations

import time

import pytest
from support.connectors import MemoryDestination, PlainDestination

from etl_core.engine.positions import durable_position, raised
from etl_core.errors import StateError
from etl_core.model import Position, Stream
from etl_core.state.memory import MemoryStore

OLD, NEW = Position(5, 1, "old"), Position(5, 2, "new")


def start(saved: Position | None, own: Position | None, keeps: bool = True) -> tuple[object, Position | None]:
    state = MemoryStore()
    fence = state.claim("p")
    if saved is not None:
        state.save(fence, saved)
    destination = MemoryDestination() if keeps else PlainDestination()
    destination.position = own
    position = durable_position("p", fence, destination, state)
    return position, state.load("p")


def test_nothing_anywhere_is_a_first_run() -> None:
    assert start(None, None) == (None, None)


def test_the_store_decides_where_the_destination_keeps_nothing() -> None:
    assert start(OLD, None, keeps=False) == (OLD, OLD)


@pytest.mark.parametrize("saved", [None, OLD, NEW])
def test_a_destination_that_is_ahead_mends_the_store(saved: Position | None) -> None:
    assert start(saved, NEW) == (NEW, NEW)


@pytest.mark.parametrize("own", [None, OLD, Position(4, 99, "older epoch")])
def test_a_destination_that_lost_data_stops_the_run(own: Position | None) -> None:
    with pytest.raises(StateError) as caught:
        start(NEW, own)
    assert "state reset" in str(caught.value.hint)


def test_an_epoch_rises_above_the_last_and_above_a_forgotten_past() -> None:
    assert raised(0) >= int(time.time()) - 1
    assert raised(2**32 - 2) == 2**32 - 1


def test_a_position_survives_json_with_its_open_snapshots() -> None:
    position = Position(1, 2, {"lsn": 3}, False, (Stream("a.b", "c"),))
    assert Position.from_json(position.to_json()) == position
    assert "snapshots" not in OLD.to_json()
