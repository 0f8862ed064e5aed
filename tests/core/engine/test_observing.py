"""The observer hub: observers that are slow, stuck, broken or greedy, and a pipeline that does not notice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any

import pyarrow as pa
import pytest
from loguru import logger

from etl_core.engine.observing import MAX_FAILURES, HubMetrics, ObserverHub
from etl_core.events import Event
from etl_core.interfaces import Observer
from etl_core.model import Batch, Stream

STREAM = Stream("public", "orders")
DEADLINE = 10.0


class Recorder(Observer):
    """Keeps what it hears; waits on `gate` when it has one."""

    def __init__(
        self,
        *,
        stages: frozenset[str] = frozenset(),
        payloads: bool = False,
        gate: threading.Event | None = None,
    ) -> None:
        self.stages = stages  # type: ignore[misc]
        self.payloads = payloads  # type: ignore[misc]
        self.gate = gate
        self.entered = threading.Event()
        self.heard: list[Any] = []
        self.closed = 0

    def take(self, what: Any) -> None:
        self.entered.set()
        if self.gate:
            self.gate.wait()
        self.heard.append(what)

    def on_event(self, event: Event) -> None:
        self.take(event)

    def on_batch(self, stage: str, batch: Batch) -> None:
        self.take((stage, batch))

    def on_payload(self, stream: Stream, format: str, schema: Any, buffers: Sequence[Any]) -> None:
        self.take((stream, format, schema, buffers))

    def close(self) -> None:
        self.closed += 1

    def heard_number(self, n: int) -> bool:
        return any(event.facts.get("n") == n for event in self.heard)


class Raiser(Recorder):
    def __init__(
        self, error: Callable[[], BaseException], good: Callable[[int], bool] = lambda n: False
    ) -> None:
        super().__init__()
        self.error = error
        self.good = good

    def on_event(self, event: Event) -> None:
        super().on_event(event)
        if not self.good(len(self.heard)):
            raise self.error()

    def close(self) -> None:
        super().close()
        raise self.error()


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{level} {message}")
    yield lines
    logger.remove(sink)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    left = [each for each in threading.enumerate() if each.name.startswith("etl-observer")]
    for each in left:
        each.join(DEADLINE)
    assert not [each for each in left if each.is_alive()]


def batch_of(rows: int) -> Batch:
    return Batch.of(STREAM, pa.record_batch({"id": pa.array(range(rows), pa.int64())}))


def test_every_observer_hears_every_event_in_order() -> None:
    first, second = Recorder(), Recorder()
    hub = ObserverHub("shop", [("a", first), ("b", second)])
    for n in range(100):
        hub.emit("committed", n=n)
    hub.close(DEADLINE)
    assert [event.facts["n"] for event in first.heard] == list(range(100))
    assert first.heard == second.heard
    assert {(event.name, event.pipeline) for event in first.heard} == {("committed", "shop")}
    assert (first.closed, second.closed) == (1, 1)


def test_without_observers_nothing_is_wanted_and_nothing_started() -> None:
    hub = ObserverHub("shop", [])
    hub.emit("committed")
    hub.batch("source", batch_of(1))
    hub.payload(STREAM, "json", None, [b"x"])
    assert not hub.wants("source")
    assert not hub.wants_payload
    hub.close(0)


def test_batches_go_to_those_who_asked_for_the_stage_as_they_are() -> None:
    asked, other = Recorder(stages=frozenset({"source", "load"})), Recorder()
    hub = ObserverHub("shop", [("a", asked), ("b", other)])
    batch = batch_of(3)
    assert hub.wants("source")
    assert not hub.wants("transform")
    hub.batch("source", batch)
    hub.batch("transform", batch)
    hub.batch("load", Batch.progress(1))
    hub.close(DEADLINE)
    assert asked.heard == [("source", batch), ("load", Batch.progress(1))]
    assert asked.heard[0][1] is batch
    assert other.heard == []


def test_payloads_go_to_those_who_asked() -> None:
    asked, other = Recorder(payloads=True), Recorder()
    hub = ObserverHub("shop", [("a", asked), ("b", other)])
    assert hub.wants_payload
    hub.payload(STREAM, "json", None, [b"x", bytearray(b"y")])
    hub.close(DEADLINE)
    assert asked.heard == [(STREAM, "json", None, [b"x", bytearray(b"y")])]
    assert other.heard == []


def test_a_stuck_observer_stalls_nobody_and_what_it_misses_is_said(log: list[str]) -> None:
    gate = threading.Event()
    stuck, other = Recorder(gate=gate), Recorder()
    hub = ObserverHub("shop", [("stuck", stuck), ("other", other)], capacity=10)
    hub.emit("committed", n=-1)
    assert stuck.entered.wait(DEADLINE)
    wait_until(lambda: len(other.heard) == 1)
    for n in range(100):
        hub.emit("committed", n=n)
        wait_until(partial(other.heard_number, n))
    gate.set()
    hub.close(DEADLINE)
    assert [event.facts["n"] for event in stuck.heard] == list(range(-1, 10))
    said = [event.facts for event in other.heard if event.name == "observer_overrun"]
    assert said == [{"observer": "stuck", "left_out": 2**n} for n in range(7)]
    assert sum("stuck cannot keep up" in line for line in log) == 1
    assert any("stuck was not told 90 events" in line for line in log)


def test_overruns_of_two_observers_do_not_feed_each_other() -> None:
    gate = threading.Event()
    first, second = Recorder(gate=gate), Recorder(gate=gate)
    hub = ObserverHub("shop", [("a", first), ("b", second)], capacity=1)
    for _ in range(1000):
        hub.emit("committed")
    gate.set()
    hub.close(DEADLINE)
    assert len(first.heard) <= 3


def test_batches_that_would_hold_too_many_bytes_are_left_out_whole(log: list[str]) -> None:
    gate = threading.Event()
    slow = Recorder(stages=frozenset({"source"}), gate=gate)
    hub = ObserverHub("shop", [("slow", slow)], max_bytes=1000)
    hub.emit("committed")
    assert slow.entered.wait(DEADLINE)
    hub.batch("source", batch_of(1000))  # larger than all the room, but alone
    hub.batch("source", batch_of(1))
    hub.emit("committed")
    gate.set()
    hub.close(DEADLINE)
    assert [each if isinstance(each, Event) else each[1].rows.num_rows for each in slow.heard][1] == 1000
    assert len(slow.heard) == 3
    assert any("slow was not told 1 " in line for line in log)


def test_an_observer_that_never_returns_does_not_delay_the_end(log: list[str]) -> None:
    gate = threading.Event()
    stuck, other = Recorder(gate=gate), Recorder()
    hub = ObserverHub("shop", [("stuck", stuck), ("other", other)])
    hub.emit("committed")
    assert stuck.entered.wait(DEADLINE)
    hub.emit("committed")
    started = monotonic()
    hub.close(0.05)
    assert monotonic() - started < DEADLINE
    assert other.closed == 1
    assert any("stuck did not end in time and was abandoned" in line for line in log)
    assert any("stuck was not told 1 " in line for line in log)
    gate.set()
    wait_until(lambda: stuck.closed == 1)
    assert len(stuck.heard) == 1


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_observer_that_raises_is_told_of_once_and_then_left_alone(
    log: list[str], error: type[BaseException]
) -> None:
    broken, other = Raiser(lambda: error("secret-token")), Recorder()
    hub = ObserverHub("shop", [("broken", broken), ("other", other)])
    for _ in range(20):
        hub.emit("committed")
    hub.close(DEADLINE)
    assert len(broken.heard) == MAX_FAILURES
    assert len(other.heard) == 20
    assert sum(f"broken failed: {error.__name__} at " in line for line in log) == 1
    assert sum("broken failed 5 times in a row and is left alone" in line for line in log) == 1
    assert "secret-token" not in "".join(log)
    assert broken.closed == 1


def test_an_observer_that_recovers_is_kept(log: list[str]) -> None:
    flaky = Raiser(ValueError, good=lambda n: n % MAX_FAILURES == 0)
    hub = ObserverHub("shop", [("flaky", flaky)])
    for _ in range(30):
        hub.emit("committed")
    hub.close(DEADLINE)
    assert len(flaky.heard) == 30
    assert sum("flaky failed" in line for line in log) == 1


def test_after_close_nothing_is_taken_and_nothing_raised() -> None:
    recorder = Recorder(stages=frozenset({"source"}), payloads=True)
    hub = ObserverHub("shop", [("a", recorder)])
    hub.close(DEADLINE)
    hub.emit("committed")
    hub.batch("source", batch_of(1))
    hub.close(DEADLINE)
    assert (recorder.heard, recorder.closed) == ([], 1)


def test_metrics_become_events() -> None:
    recorder = Recorder()
    hub = ObserverHub("shop", [("a", recorder)])
    metrics = HubMetrics(hub)
    metrics.count("slot.reconnects", reason="cut")
    metrics.gauge("slot.retained_bytes", 12.5)
    hub.close(DEADLINE)
    assert [event.to_json() | {"at": 0} for event in recorder.heard] == [
        {
            "event": "metric",
            "pipeline": "shop",
            "at": 0,
            "metric": "slot.reconnects",
            "value": 1,
            "kind": "count",
            "labels": {"reason": "cut"},
        },
        {
            "event": "metric",
            "pipeline": "shop",
            "at": 0,
            "metric": "slot.retained_bytes",
            "value": 12.5,
            "kind": "gauge",
            "labels": {},
        },
    ]


def test_events_of_many_threads_all_arrive() -> None:
    recorder = Recorder()
    hub = ObserverHub("shop", [("a", recorder)])

    def work(thread: int) -> None:
        for n in range(200):
            hub.emit("committed", thread=thread, n=n)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    hub.close(DEADLINE)
    for i in range(4):
        assert [e.facts["n"] for e in recorder.heard if e.facts["thread"] == i] == list(range(200))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert monotonic() < deadline
        pause.wait(0.001)
