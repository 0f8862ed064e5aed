"""That an observer does not grow: what it was shown long ago is gone."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pyarrow as pa

from etl_core.events import Event
from etl_core.model import Batch, Stream
from etl_core.testing.observer.calls import ObserverKit, Voice
from etl_core.testing.observer.facts import FACTS, event
from etl_core.testing.verdicts import expect, skip

__all__ = ["KeepingClauses"]

_EVENTS = 20_000
_BATCHES = 200
_BATCH_BYTES = 1 << 16


class KeepingClauses(ObserverKit):
    """The clauses about memory."""

    def test_it_does_not_keep_events(self) -> None:
        """After many thousand events it holds no more memory than before them.

        Count and forget; bound what waits to be sent (`keeps` on the kit says how much that may be).
        """
        with self.voice() as voice:
            voice.tell(_long(_EVENTS // 20))  # what it needs to work is there now
            with _tracing():
                before = _held()
                voice.tell(_long(_EVENTS))
                grown = self._settled(lambda: _held() - before)
            voice.close()
        expect(grown <= self.keeps, "it grows with every event", events=_EVENTS, bytes=grown)

    def test_it_does_not_keep_batches(self) -> None:
        """What it was shown of batches and payloads is let go of.

        A slice keeps the whole batch alive, and the run's budget does not know of it.
        """
        with self.voice() as voice:
            if not voice.observer.stages and not voice.observer.payloads:
                voice.close()
                skip("it asks for neither batches nor payloads")
            voice.show()
            before = pa.total_allocated_bytes()
            _show_many(voice)
            grown = self._settled(lambda: pa.total_allocated_bytes() - before)
            voice.close()
        expect(grown <= self.keeps, "it keeps batches", batches=_BATCHES, bytes=grown)

    def _settled(self, growth: Callable[[], int]) -> int:
        """Return the growth once it is small enough, or what it is when `grace` is over."""
        deadline = time.monotonic() + self.grace
        while (found := growth()) > self.keeps and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


def _long(count: int) -> Iterator[Event]:
    """Yield the events of a long run: a few streams and labels, ever later."""
    names = [name for name in FACTS if name not in {"run_started", "run_finished"}]
    for number in range(count):
        name = names[number % len(names)]
        facts = FACTS[name][0]
        if "stream" in facts:
            facts = {**facts, "stream": f"shop.stream_{number % 7}"}
        yield event(name, facts, at=1_700_000_000.0 + number)


def _show_many(voice: Voice) -> None:
    observer, stream = voice.observer, Stream("shop", "orders")
    for number in range(_BATCHES):
        rows = pa.record_batch({"n": pa.repeat(pa.scalar(number, pa.int64()), _BATCH_BYTES // 8)})
        for stage in sorted(observer.stages):
            voice.do(partial(observer.on_batch, stage, Batch.of(stream, rows)), "on_batch")
        if observer.payloads:
            voice.do(partial(observer.on_payload, stream, "json", None, [rows.column(0).buffers()[1]]), "")
    voice.do(partial(int), "")  # so that the thread itself holds the last one no more


@contextmanager
def _tracing() -> Iterator[None]:
    """Follow allocations of Python, unless somebody does already."""
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start()
    try:
        yield
    finally:
        if ours:
            tracemalloc.stop()


def _held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
