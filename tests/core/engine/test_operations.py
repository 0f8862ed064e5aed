from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from support.connectors import (
    ORDERS,
    SCHEMA,
    ListSource,
    MemoryDestination,
    PlainDestination,
    Upper,
    positioned,
    rows,
)

from etl_core.connectors import Connectors, TransformStep
from etl_core.engine.operations import check, discover, reset, sample, teardown
from etl_core.engine.pipeline import Pipeline
from etl_core.errors import AuthError, ConfigError, SchemaError, StateError
from etl_core.interfaces import Context
from etl_core.loaders.append import Append
from etl_core.loaders.upsert import Upsert
from etl_core.model import Stream, StreamInfo
from etl_core.state.memory import MemoryStore


def connectors(**parts: Any) -> Connectors:
    made: dict[str, Any] = {
        "name": "p",
        "source": ListSource(positioned(rows(1, 2), rows(3))),
        "destination": MemoryDestination(),
        "loader": Append(),
        "state": MemoryStore(),
    }
    return Connectors(**(made | parts))


def test_a_good_pipeline_passes_and_changes_nothing() -> None:
    parts: Any = connectors(transforms=[TransformStep("upper", Upper())])
    result = check(parts)
    assert result.ok
    assert result.state_ok
    assert result.transforms == (None,)
    assert parts.destination.calls == ["close"]
    assert result.to_json()["ok"] is True


class Refused(ListSource):
    def check(self, ctx: Context) -> None:
        raise AuthError("login refused", "GRANT something")


class Unreachable(MemoryDestination):
    def check(self, ctx: Context) -> None:
        raise ValueError("what no connector should raise")


class NoSchema(Upper):
    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        raise SchemaError("no such column")


class BrokenState(MemoryStore):
    def check(self) -> None:
        raise StateError("read-only")


def test_every_stage_reports_its_own_trouble_with_its_hint() -> None:
    result = check(connectors(source=Refused([]), destination=Unreachable(), state=BrokenState()))
    assert not result.ok
    assert "login refused" in str(result.source)
    assert "GRANT something" in str(result.source)
    assert "ValueError" in str(result.destination)
    assert "read-only" in str(result.state)


def test_a_transform_that_cannot_take_the_streams_is_found() -> None:
    result = check(connectors(transforms=[TransformStep("bad", NoSchema())]))
    assert "no such column" in str(result.transforms[0])


def test_a_mirror_without_a_key_is_found_before_the_run() -> None:
    result = check(connectors(source=ListSource([], key=()), loader=Upsert()))
    assert "key" in str(result.source)


def test_discover_lists_the_streams() -> None:
    parts: Any = connectors()
    assert discover(parts) == [StreamInfo(ORDERS, SCHEMA, ("id",), True)]
    assert parts.source.closed == 1


def test_a_sample_is_what_would_be_loaded() -> None:
    table = sample(connectors(transforms=[TransformStep("upper", Upper())]), ORDERS, 2)
    assert table.to_pydict() == {"id": [1, 2], "name": ["N1", "N2"]}


def test_a_sample_of_nothing_has_columns() -> None:
    class Empty(ListSource):
        def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
            return SCHEMA.empty_table()

    assert sample(connectors(source=Empty([])), ORDERS, 5).schema.names == ["id", "name"]


def test_a_source_that_cannot_be_sampled_says_so() -> None:
    class Plain(ListSource):
        def sample(self, ctx: Context, stream: Stream, n: int) -> pa.Table:
            return super(ListSource, self).sample(ctx, stream, n)

    with pytest.raises(ConfigError):
        sample(connectors(source=Plain([])), ORDERS, 5)


@pytest.mark.parametrize("destination", [MemoryDestination(), PlainDestination()])
def test_reset_forgets_and_the_next_run_starts_at_a_higher_epoch(destination: Any) -> None:
    source = ListSource(positioned(rows(1)))
    parts = connectors(source=source, destination=destination)
    Pipeline.of(parts).run()
    before = parts.state.load("p").epoch
    done = reset(parts)
    assert any("state store" in line for line in done)
    assert "the list" in done
    assert parts.state.load("p") is None
    if destination.keeps_position:
        assert destination.position is None
    Pipeline.of(parts).run()
    assert parts.state.load("p").epoch >= before
    assert source.reads == [None, None]


def test_reset_of_a_running_pipeline_is_refused() -> None:
    parts: Any = connectors()
    parts.state.claim("p")
    with pytest.raises(StateError):
        reset(parts)
    assert parts.source.torn_down == 0


def test_teardown_says_what_it_removed() -> None:
    parts = connectors()
    assert teardown(parts) == ["the list"]
