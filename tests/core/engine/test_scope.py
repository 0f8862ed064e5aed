from __future__ import annotations

import threading
from pathlib import Path

import pytest

from etl_core.engine.observing import HubMetrics, ObserverHub
from etl_core.engine.scope import EngineContext, Scope
from etl_core.errors import Cancelled


def test_an_error_in_a_thread_is_kept_and_reported() -> None:
    failed = threading.Event()
    scope = Scope("t", on_failure=failed.set)

    def work() -> None:
        raise ValueError("boom")

    scope.spawn(work)
    assert failed.wait(5)
    assert isinstance(scope.error, ValueError)
    assert scope.join(5) == []


def test_a_cancelled_thread_is_no_failure() -> None:
    scope = Scope("t")

    def work() -> None:
        raise Cancelled

    scope.spawn(work)
    assert scope.join(5) == []
    assert scope.error is None


def test_stop_interrupts_what_blocks_and_a_late_callback_runs_at_once() -> None:
    scope = Scope("t")
    blocked = threading.Event()
    scope.on_cancel(blocked.set)
    scope.spawn(lambda: blocked.wait(60) and None, name="blocked")
    scope.stop()
    assert scope.join(5) == []
    late: list[str] = []
    scope.on_cancel(lambda: late.append("called"))
    assert late == ["called"]


def test_a_removed_callback_is_not_called_and_a_failing_one_does_not_stop_the_rest() -> None:
    scope = Scope("t")
    called: list[str] = []
    scope.on_cancel(lambda: called.append("removed"))()

    def fail() -> None:
        raise OSError

    scope.on_cancel(fail)
    scope.on_cancel(lambda: called.append("kept"))
    scope.stop()
    scope.stop()
    assert called == ["kept"]


def test_join_names_the_thread_that_does_not_end() -> None:
    scope, release = Scope("t"), threading.Event()
    scope.spawn(lambda: release.wait(60) and None, name="stubborn")
    assert scope.join(0.01) == ["etl-t-stubborn"]
    release.set()
    assert scope.join(5) == []


@pytest.fixture
def ctx(tmp_path: Path) -> EngineContext:
    hub, metrics = ObserverHub("p", ()), HubMetrics(ObserverHub("p", ()))
    return EngineContext(
        pipeline="p", connector="c", scope=Scope("p"), hub=hub, metrics=metrics, spill=tmp_path, epoch=7
    )


def test_a_context_adds_up_phases_and_keeps_rejections(ctx: EngineContext) -> None:
    for _ in range(2):
        with ctx.measure("query"):
            pass
    with pytest.raises(ValueError, match="x"), ctx.measure("fetch"):
        raise ValueError("x")
    ctx.reject([1, 2], "bad", "name")
    ctx.payload(None, "json", None, [])  # type: ignore[arg-type]  # nobody asked: free
    assert set(ctx.phases) == {"query", "fetch"}
    assert ctx.rejections == [([1, 2], "bad", "name")]
    assert ctx.epoch == 7


def test_a_context_says_where_to_spill(ctx: EngineContext, tmp_path: Path) -> None:
    assert ctx.spill == tmp_path
