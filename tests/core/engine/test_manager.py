from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.connectors import ListSource, MemoryDestination, Upper, positioned, rows

from etl_core.config import BatchPolicy
from etl_core.engine.manager import PipelineManager, PipelinesFailed
from etl_core.engine.pipeline import Pipeline
from etl_core.errors import Cancelled, ConfigError, FatalError, PipelineError
from etl_core.resolve import TransformStep
from etl_core.result import PipelineResult

pytestmark = pytest.mark.timeout(10)


class Job:
    def __init__(self, name: str, work: Callable[[Any], object] = lambda cancel: None) -> None:
        self.name = name
        self.work = work
        self.batch: Any = None

    def run(self, batch_policy: Any = None, cancel: Any = None) -> PipelineResult:
        self.batch = batch_policy
        self.work(cancel)
        return PipelineResult(self.name)


def manager(*jobs: Any, workers: int = 4, **options: Any) -> PipelineManager:
    made = PipelineManager(workers, **options)
    for job in jobs:
        made.add_runner(job)
    return made


def fail(cancel: Any) -> None:
    raise FatalError("disk on fire")


def test_nothing_to_run_succeeds() -> None:
    assert manager().run_all() == {}


@pytest.mark.parametrize("count", [1, 3])
def test_every_outcome_is_reported(count: int) -> None:
    outcomes = manager(*[Job(str(n)) for n in range(count)]).run_all()
    assert sorted(outcomes) == [str(n) for n in range(count)]
    assert all(outcome.ok for outcome in outcomes.values())


def test_a_failure_names_pipeline_and_cause_and_the_others_outcomes_are_there() -> None:
    with pytest.raises(PipelineError) as caught:
        manager(Job("good"), Job("bad", fail), workers=2).run_all()
    assert "bad" in str(caught.value)
    assert "disk on fire" in str(caught.value)
    assert isinstance(caught.value, PipelinesFailed)
    assert set(caught.value.outcomes) == {"good", "bad"}
    assert isinstance(caught.value.outcomes["bad"].error, FatalError)


def test_after_a_failure_no_work_is_admitted() -> None:
    with pytest.raises(PipelinesFailed) as caught:
        manager(Job("bad", fail), Job("never"), workers=1).run_all()
    never = caught.value.outcomes["never"]
    assert never.result is None
    assert never.error is None


def test_after_a_failure_the_others_are_cancelled_when_the_grace_period_is_over() -> None:
    def endless(cancel: Any) -> None:
        assert cancel.wait(60)
        raise Cancelled

    with pytest.raises(PipelinesFailed) as caught:
        manager(Job("endless", endless), Job("bad", fail), grace=0.2).run_all()
    assert isinstance(caught.value.outcomes["endless"].error, Cancelled)


def test_cancelled_beforehand_runs_nothing() -> None:
    cancel = threading.Event()
    cancel.set()
    ran: list[Any] = []
    with pytest.raises(Cancelled):
        manager(Job("a", ran.append)).run_all(cancel)
    assert ran == []


def test_a_cancel_reaches_the_runners() -> None:
    cancel = threading.Event()

    def work(inner: Any) -> None:
        cancel.set()
        assert inner.wait(60)
        raise Cancelled

    with pytest.raises(Cancelled) as caught:
        manager(Job("a", work)).run_all(cancel)
    assert isinstance(caught.value.result["a"].error, Cancelled)


def test_a_runner_that_stops_by_itself_is_no_success() -> None:
    def stop(cancel: Any) -> None:
        raise Cancelled

    with pytest.raises(PipelinesFailed):
        manager(Job("a", stop)).run_all()


def test_an_interrupt_of_the_caller_stops_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    def work(cancel: Any) -> None:
        assert cancel.wait(8)
        stopped.set()

    def interrupt(self: threading.Thread, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(threading.Thread, "join", interrupt)
        manager(Job("a", work)).run_all()
    assert stopped.wait(8)


def test_three_runners_on_three_workers_meet() -> None:
    barrier = threading.Barrier(3)
    outcomes = manager(*[Job(str(n), lambda _: barrier.wait(8)) for n in range(3)], workers=3).run_all()
    assert all(outcome.ok for outcome in outcomes.values())


def test_with_one_worker_never_two_at_once() -> None:
    busy = threading.Lock()

    def work(cancel: Any) -> None:
        assert busy.acquire(blocking=False)
        busy.release()

    outcomes = manager(*[Job(str(n), work) for n in range(5)], workers=1).run_all()
    assert all(outcome.ok for outcome in outcomes.values())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_an_exception_that_is_no_exception_is_reported(error: BaseException) -> None:
    def work(cancel: Any) -> None:
        raise error

    with pytest.raises(PipelinesFailed) as caught:
        manager(Job("odd", work)).run_all()
    assert caught.value.outcomes["odd"].error is error
    assert type(error).__name__ in str(caught.value)


def test_two_runners_of_one_name_and_no_workers_are_refused() -> None:
    with pytest.raises(ConfigError):
        manager(Job("a"), Job("a"))
    with pytest.raises(ConfigError):
        PipelineManager(0)


def test_the_batch_policy_is_shared() -> None:
    job, policy = Job("a"), BatchPolicy(max_rows=7)
    manager(job, batch=policy).run_all()
    assert job.batch is policy


def test_a_pipeline_of_three_rows_extracts_once_transforms_three_and_loads_three() -> None:
    source, destination, upper = ListSource(positioned(rows(1, 2, 3))), MemoryDestination(), Upper()
    calls: list[str] = []
    pipeline = Pipeline(
        "three",
        source,
        destination,
        transforms=[TransformStep("upper", upper)],
        before_run=lambda: calls.append("before"),
        after_run=lambda: calls.append("after"),
    )
    made = PipelineManager()
    made.add_pipeline(pipeline, "renamed")
    outcome = made.run_all()["renamed"]
    assert len(source.reads) == 1
    assert upper.applied == 3
    assert destination.ids() == [1, 2, 3]
    assert outcome.result is not None
    assert outcome.result.counts.records_written == 3
    assert calls == ["before", "after"]
