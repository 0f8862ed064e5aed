"""What is measured while a run goes on: rates of streams, the source's lag, progress of snapshots."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from loguru import logger
from support.connectors import (
    ORDERS,
    SCHEMA,
    Collector,
    ListSource,
    MemoryDestination,
    PlainDestination,
    marker,
    positioned,
    rows,
)

from etl_core.config import BatchPolicy, LoadSettings
from etl_core.engine import measuring
from etl_core.engine.measuring import Measuring
from etl_core.engine.observing import HubMetrics, ObserverHub
from etl_core.engine.operations import lag
from etl_core.engine.pipeline import Pipeline
from etl_core.engine.scope import EngineContext, Scope
from etl_core.errors import Cancelled, EtlError, FatalError, RetryableError, StateError
from etl_core.interfaces import Context
from etl_core.model import Batch, Kind, Lag
from etl_core.result import PipelineResult
from etl_core.state.memory import MemoryStore

DEADLINE = 20.0


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_EVERY", 0.01)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(handler)


class LaggingSource(ListSource):
    """Answers from `answers`, the last of them for ever; an exception is raised."""

    def __init__(self, answers: list[Any], **options: Any) -> None:
        super().__init__(positioned(rows(1, 2), rows(3)), endless=True, **options)
        self.answers = list(answers)
        self.asked: list[Any] = []

    def lag(self, ctx: Context, value: Any) -> Lag | None:
        self.asked.append(value)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        found: Lag | None = answer
        return found


def run_until(pipeline: Pipeline, condition: Callable[[], Any]) -> PipelineResult:
    """Run, cancel when the condition holds; return the result."""
    cancel, stopped = threading.Event(), []

    def go() -> None:
        with pytest.raises(Cancelled) as stop:
            pipeline.run(cancel=cancel)
        stopped.append(stop.value.result)

    thread = threading.Thread(target=go)
    thread.start()
    end = time.monotonic() + DEADLINE
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    held = condition()
    cancel.set()
    thread.join(DEADLINE)
    assert held
    result: PipelineResult = stopped[0]
    return result


def pipeline(source: ListSource, **parts: Any) -> tuple[Pipeline, Collector]:
    seen = Collector()
    return Pipeline("p", source, MemoryDestination(), observers=[("seen", seen)], **parts), seen


BEHIND = Lag(bytes=100, seconds=2.5, retained_bytes=300, remaining_bytes=700, status="reserved")


def test_the_lag_of_the_durable_position_is_asked_told_and_kept() -> None:
    source, state = LaggingSource([BEHIND, Lag(bytes=0, seconds=0.0)]), MemoryStore()
    made, seen = pipeline(source, state=state)
    result = run_until(made, lambda: source.asked[-1:] == [2] and len(seen.facts("lag")) > 2)
    assert seen.facts("lag")[0] == {**BEHIND.to_json(), "error": None}
    assert result.lag == Lag(bytes=0, seconds=0.0).to_json()
    assert result.to_json()["lag"]["retained_bytes"] is None
    noted = state.noted("p")
    assert noted is not None
    assert (noted["lag"], noted["ended"]) == (result.lag, True)
    assert noted["at"] <= time.time()
    source.asked.clear()
    run_until(made, lambda: 2 in source.asked)  # a run that resumes asks for what is durable, once it knows


def test_a_source_without_a_lag_is_asked_once() -> None:
    source = LaggingSource([None])
    made, seen = pipeline(source)
    ticks = list[float]()
    made.state.note = lambda fence, note: ticks.append(note["at"])  # type: ignore[method-assign]
    result = run_until(made, lambda: len(ticks) > 2)
    assert source.asked[1:] == []
    assert (result.lag, seen.facts("lag")) == (None, [])


@pytest.mark.parametrize("error", [RetryableError("the server is away"), ZeroDivisionError("secret")])
def test_a_lag_that_cannot_be_measured_is_said_once_and_harms_nothing(
    error: Exception, warnings: list[str]
) -> None:
    source = LaggingSource([BEHIND, error, error, error, BEHIND])
    made, seen = pipeline(source)
    result = run_until(made, lambda: len(seen.facts("lag")) > 5)
    told = seen.facts("lag")
    assert [one["error"] for one in told[:5]].count(None) == 2
    assert told[1]["bytes"] is None
    assert result.lag == BEHIND.to_json()
    assert len(warnings) == 1
    assert "the lag cannot be measured" in warnings[0]
    assert "secret" not in warnings[0]


def test_a_source_that_did_not_answer_is_not_asked_at_the_end() -> None:
    source = LaggingSource([FatalError("not allowed")])
    made, seen = pipeline(source)
    run_until(made, lambda: seen.facts("lag"))
    assert {one["error"] for one in seen.facts("lag")} == {"FatalError"}


class StuckSource(LaggingSource):
    """Answers only when it is interrupted."""

    def lag(self, ctx: Context, value: Any) -> Lag | None:
        interrupted = threading.Event()
        ctx.on_cancel(interrupted.set)
        self.asked.append(value)
        assert interrupted.wait(DEADLINE)
        raise Cancelled


def test_a_question_that_hangs_is_interrupted_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_LAST", 0.05)
    state, source = MemoryStore(), StuckSource([BEHIND])
    made, seen = pipeline(source, state=state)
    result = run_until(made, lambda: source.asked and source.idle.is_set())
    assert (result.lag, seen.facts("lag")) == (None, [])
    noted = state.noted("p")
    assert noted
    assert noted["ended"]


class Flaky(MemoryStore):
    """Keeps notes, except where `failures` has an error for the next call."""

    def __init__(self, failures: list[EtlError]) -> None:
        super().__init__()
        self.failures = list(failures)
        self.calls = 0

    def note(self, fence: str, note: Mapping[str, Any]) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop()
        super().note(fence, note)


class DeafSource(LaggingSource):
    """Does not even take an interruption."""

    release = threading.Event()

    def lag(self, ctx: Context, value: Any) -> Lag | None:
        self.asked.append(value)
        assert self.release.wait(DEADLINE)
        return None


def test_a_question_that_cannot_be_interrupted_does_not_keep_the_run(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setattr(measuring, "_LAST", 0.05)
    source = DeafSource([BEHIND])
    state = Flaky([])
    made, _ = pipeline(source, state=state)
    made.grace = 0.2
    run_until(made, lambda: source.asked and source.idle.is_set())
    assert "the measuring thread did not end: the source does not answer\n" in warnings
    [straggler] = [one for one in threading.enumerate() if one.name == "etl-p-measuring-measure"]
    source.release.set()
    straggler.join(DEADLINE)
    assert state.calls == 0


def test_a_run_that_ends_before_a_question_was_answered_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_EVERY", 60.0)
    source = LaggingSource([BEHIND])
    result = run_until(pipeline(source)[0], source.idle.is_set)
    assert (source.asked, result.lag) == ([], None)


def test_a_failed_run_leaves_a_note_and_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_EVERY", 60.0)
    state = MemoryStore()
    source = LaggingSource([BEHIND], fail={1: FatalError("broken")})
    with pytest.raises(FatalError):
        pipeline(source, state=state)[0].run()
    noted = state.noted("p")
    assert noted
    assert (source.asked, noted["ended"], noted["lag"]) == ([], True, None)
    assert noted["streams"]["public.orders"]["rows_read"] == 2


class Forgetful(MemoryStore):
    def note(self, fence: str, note: Mapping[str, Any]) -> None:
        raise StateError("the disk is full")


def test_a_note_that_cannot_be_kept_is_said_once(warnings: list[str]) -> None:
    made, seen = pipeline(LaggingSource([BEHIND]), state=Forgetful())
    run_until(made, lambda: len(seen.facts("lag")) > 3)
    assert len(warnings) == 1
    assert "what was measured is not kept" in warnings[0]


def test_notes_are_kept_again_after_one_that_could_not_be() -> None:
    state = Flaky([StateError("busy"), StateError("busy")])
    made, _ = pipeline(LaggingSource([BEHIND]), state=state)
    run_until(made, lambda: state.noted("p"))


def test_a_note_says_when_its_lag_was_measured() -> None:
    state, before = MemoryStore(), time.time()
    made, seen = pipeline(LaggingSource([BEHIND, RetryableError("away")]), state=state)
    run_until(made, lambda: len(seen.facts("lag")) > 5)
    noted = state.noted("p")
    assert noted
    assert noted["lag"] == BEHIND.to_json()
    assert before <= noted["lag_at"] < noted["at"]


def test_streams_that_moved_are_told_with_their_rates() -> None:
    made, seen = pipeline(LaggingSource([None]), load=LoadSettings(batch=BatchPolicy(max_rows=3)))
    result = run_until(made, lambda: [one for one in seen.facts("throughput") if moved(one)])
    told = next(one for one in seen.facts("throughput") if moved(one))
    stream = told["streams"]["public.orders"]
    assert (stream["rows_read"], stream["rows_written"]) == (3, 3)
    assert stream["rows_written_per_second"] == pytest.approx(3 / told["seconds"])
    assert stream["rows_read_per_second"] >= 0
    assert (stream["phase"], stream["snapshot_rows"], stream["snapshot_estimate"]) == ("changes", None, None)
    counts = result.to_json()["streams"]["public.orders"]
    assert (counts["records_read"], counts["records_written"]) == (3, 3)
    assert counts["bytes_read"] == result.counts.bytes_read


def moved(told: Mapping[str, Any]) -> bool:
    return bool(told["streams"].get("public.orders", {}).get("rows_written") == 3)


def test_a_stream_that_stands_still_is_told_no_more() -> None:
    made, seen = pipeline(LaggingSource([BEHIND]))
    still = ["lag"] * (2 * measuring._WINDOW)

    def names() -> list[str]:
        return [name for name in seen.names() if name in ("lag", "throughput")]

    run_until(made, lambda: "throughput" in names() and names()[-len(still) :] == still)
    told = [one["streams"]["public.orders"] for one in seen.facts("throughput")]
    assert (0.0, 0.0) in [(one["rows_read_per_second"], one["rows_written_per_second"]) for one in told]


class Snapshot(ListSource):
    """A snapshot of four rows that was estimated at five, then a change."""

    def __init__(self, **options: Any) -> None:
        batches = [
            marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA, key=("id",)),
            Batch.of(ORDERS, rows(1, 2)),
            Batch.of(ORDERS, rows(3, 4)),
            marker(Kind.SNAPSHOT_END),
            Batch.of(ORDERS, rows(5), position=5),
        ]
        super().__init__(batches, **options)
        self.info = attrs.evolve(self.info, estimate=5)


def test_the_progress_of_a_snapshot_is_counted_from_its_begin() -> None:
    seen = Collector()
    result = Pipeline("p", Snapshot(), MemoryDestination(), observers=[("seen", seen)]).run()
    assert [one["snapshot_rows"] for one in seen.facts("batch_read")] == [2, 4, None]
    assert seen.facts("snapshot_started") == [{"stream": "public.orders", "estimate": 5}]
    counts = result.streams["public.orders"]
    assert (counts.phase, counts.snapshot_records, counts.snapshot_estimate) == ("changes", 4, 5)


def test_a_snapshot_may_say_itself_how_many_rows_it_has() -> None:
    source, seen = Snapshot(), Collector()
    source.batches[0] = attrs.evolve(source.batches[0], estimate=4)
    Pipeline("p", source, MemoryDestination(), observers=[("seen", seen)]).run()
    assert seen.facts("snapshot_started") == [{"stream": "public.orders", "estimate": 4}]


@pytest.mark.parametrize(("phase", "seconds"), [("snapshot", 2.0), ("changes", 8.0)])
def test_the_rate_of_a_snapshot_is_taken_from_its_begin(phase: str, seconds: float, tmp_path: Path) -> None:
    result, state, scope = PipelineResult("p"), MemoryStore(), Scope("p")
    hub = ObserverHub("p", ())
    made = Measuring(
        source=ListSource([]),
        state=state,
        hub=hub,
        result=result,
        ctx=EngineContext(
            pipeline="p", connector="source", scope=scope, hub=hub, metrics=HubMetrics(hub), spill=tmp_path
        ),
        fence=state.claim("p"),
        position=lambda: None,
    )
    result.stream("a").phase = phase
    made._samples.clear()
    made._samples.extend((at, {"a": (rows, 0)}) for at, rows in [(0.0, 0), (2.0, 0), (6.0, 0), (8.0, 100)])
    assert made._facts("a", made._since("a"))["rows_read_per_second"] == 100 / seconds


def test_a_snapshot_that_begins_again_is_counted_again() -> None:
    seen = Collector()
    source = Snapshot(fail={3: RetryableError("cut")})
    Pipeline("p", source, PlainDestination(), observers=[("seen", seen)]).run()
    assert [one["snapshot_rows"] for one in seen.facts("batch_read")] == [2, 4, 2, 4, None]


def test_how_much_of_a_resumed_snapshot_was_read_is_not_known() -> None:
    source = Snapshot(fail={3: RetryableError("cut")})
    source.batches[1] = attrs.evolve(source.batches[1], position=2)
    source.batches[2] = attrs.evolve(source.batches[2], position=3)
    seen, state = Collector(), MemoryStore()
    Pipeline("p", source, PlainDestination(), observers=[("seen", seen)], state=state).run()
    told = [one["snapshot_rows"] for one in seen.facts("batch_read")]
    assert told[:2] == [2, 4]
    assert set(told[2:]) <= {None, 2, 4}
    assert told[-1] is None


def test_a_source_is_asked_without_a_run_and_closed() -> None:
    source = LaggingSource([BEHIND])
    assert lag("p", source, 7) == BEHIND
    assert (source.asked, source.closed) == ([7], 1)
    assert lag("p", ListSource([]), None) is None
    with pytest.raises(FatalError, match="failed unexpectedly"):
        lag("p", LaggingSource([ZeroDivisionError()]), None)
