"""Times are really measured: a slow stage shows in its own field, and in no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from support.connectors import ListSource, MemoryDestination, Upper, positioned, rows

from etl_core.config import CommitPolicy, Duration, LoadSettings, Resources, Size
from etl_core.engine.pipeline import Pipeline
from etl_core.interfaces import Context
from etl_core.loaders.append import Append
from etl_core.model import Batch, Position, Stream, Write
from etl_core.resolve import TransformStep
from etl_core.result import PipelineResult
from etl_core.state.memory import MemoryStore

SLOW = 0.25
HALF = SLOW / 2


class SlowSource(ListSource):
    def __init__(self, phase: str | None) -> None:
        super().__init__(positioned(rows(1)))
        self.phase = phase

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        if self.phase is None:
            time.sleep(SLOW)
        else:
            with ctx.measure(self.phase):
                time.sleep(SLOW)
        yield from super().read(ctx, resume, until)


class SlowDestination(MemoryDestination):
    def __init__(self, slow: str) -> None:
        super().__init__()
        self.hook = lambda call: time.sleep(SLOW) if call == slow else None


class SlowState(MemoryStore):
    def save(self, fence: str, position: Position) -> None:
        time.sleep(SLOW)
        super().save(fence, position)


class SlowTransform(Upper):
    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch:
        time.sleep(SLOW)
        return super().apply(ctx, stream, rows)


class SlowLoader(Append):
    def plan(self, batch: Batch) -> Iterator[Write]:
        time.sleep(SLOW)
        yield from super().plan(batch)


def run(source: Any = None, destination: Any = None, **options: Any) -> PipelineResult:
    source = source or ListSource(positioned(rows(1)))
    return Pipeline("p", source, destination or MemoryDestination(), **options).run()


def slow_fields(result: PipelineResult) -> set[str]:
    times = {f"source.{k}": v for k, v in vars_of(result.source).items() if k != "total"}
    times |= {f"destination.{k}": v for k, v in vars_of(result.destination).items() if k != "total"}
    times["load_duration"] = result.load_duration
    return {name for name, value in times.items() if value >= HALF and not name.endswith("_count")}


def vars_of(timing: Any) -> dict[str, float]:
    return {name: getattr(timing, name) for name in timing.__slots__ if not name.startswith("__")}


@pytest.mark.parametrize("phase", [None, "connect", "query", "fetch", "encode"])
def test_the_source(phase: str | None) -> None:
    result = run(SlowSource(phase))
    assert slow_fields(result) - {"destination.receive"} == {f"source.{phase or 'fetch'}"}
    assert result.source.total >= HALF
    assert result.source.emit_count == result.destination.receive_count == 1


@pytest.mark.parametrize(("call", "field"), [("open", "connect"), ("write", "decode"), ("flush", "flush")])
def test_the_destination(call: str, field: str) -> None:
    result = run(destination=SlowDestination(call))
    assert slow_fields(result) == {f"destination.{field}"}
    assert result.total >= HALF


def test_the_state_store() -> None:
    assert slow_fields(run(state=SlowState())) == {"destination.commit"}


def test_a_transform_and_a_loader() -> None:
    steps = [TransformStep("fast", Upper()), TransformStep("slow", SlowTransform())]
    result = run(transforms=steps)
    assert result.transform_count == 2
    assert [seconds >= HALF for seconds in result.transform_duration] == [False, True]
    assert slow_fields(run(loader=SlowLoader())) == {"load_duration"}


def test_loading_connectors_and_waiting_for_room() -> None:
    result = run(load_seconds=(SLOW, 2 * SLOW))
    assert slow_fields(result) == {"source.load", "destination.load"}
    batches = positioned(rows(1), rows(2), rows(3))
    tight = Resources(queue=Size(1))
    waiting = run(ListSource(batches), SlowDestination("flush"), resources=tight, load=at_once())
    assert "source.emit" in slow_fields(waiting)


def at_once() -> LoadSettings:
    return LoadSettings(commit=CommitPolicy(max_wait=Duration(0)))


def test_nothing_is_slow_when_nothing_is() -> None:
    assert slow_fields(run()) == set()


def test_a_result_becomes_json() -> None:
    data = run().to_json()
    assert data["counts"]["records_read"] == 1
    assert isinstance(data["position"], dict)
