"""Calling an observer as the hub does: everything on one thread that is not the one it was made on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, ClassVar

from etl_core.events import Event
from etl_core.interfaces import Observer
from etl_core.resolve import make
from etl_core.testing.common import CommonClauses
from etl_core.testing.observer.facts import payloads, usual, usual_batches
from etl_core.testing.verdicts import fail

__all__ = ["ObserverKit", "Voice"]

_AT_ONCE = 200


class Voice:
    """The one thread that calls an observer. It is abandoned when a call does not return in `patience`."""

    def __init__(self, observer: Observer, patience: float) -> None:
        self.observer = observer
        self._patience = patience
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._ends: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="conformance-hub", daemon=True)
        self._thread.start()

    def do(self, call: Callable[[], object], what: str) -> None:
        """Make a call there; raise what it raises, break the clause when it does not return."""
        self._calls.put(call)
        try:
            error = self._ends.get(timeout=self._patience)
        except Empty:
            fail("a call did not return in time", call=what, seconds=self._patience)
        if error is not None:
            raise error

    def tell(self, events: Iterable[Event]) -> None:
        """Let it hear events, some hundred in `patience` at least."""
        hear, rest = self.observer.on_event, iter(events)
        while some := list(islice(rest, _AT_ONCE)):
            self.do(partial(_each, hear, some), "on_event")

    def show(self) -> None:
        """Let it see what is usual of what it asks for."""
        for stage in sorted(self.observer.stages):
            self.do(partial(_each, partial(self.observer.on_batch, stage), usual_batches()), "on_batch")
        if self.observer.payloads:
            self.do(partial(self.observer.on_payload, *next(payloads())), "on_payload")

    def close(self) -> None:
        """Close the observer there."""
        self.do(self.observer.close, "close")

    def end(self) -> None:
        """End the thread."""
        self._calls.put(None)
        self._thread.join(self._patience)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except BaseException as error:  # noqa: BLE001 - raised where the call was asked for
                self._ends.put(error)
            else:
                self._ends.put(None)


def _each(call: Callable[[Any], object], items: Iterable[Any]) -> None:
    for item in items:
        call(item)


class ObserverKit(CommonClauses):
    """What the clauses for observers are given, and the observer in use."""

    section: ClassVar[str] = "observability"
    #: Bytes it may hold on to, for buffers of its own, however long it listens.
    keeps: ClassVar[int] = 1 << 19

    def broken_config(self) -> Mapping[str, Any] | None:
        """Return settings under which its backend is away (a closed port); None: it has no backend."""
        return None

    def other_config(self) -> Mapping[str, Any]:
        """Return settings of a second instance beside the first, where they cannot be the same (a port)."""
        return self.settings

    def made_with(self, settings: Mapping[str, Any]) -> Observer:
        """Make an observer from these settings."""
        observer: Observer = make(self.registration, self.configured(settings))
        return observer

    @contextmanager
    def voice(self, observer: Observer | None = None) -> Iterator[Voice]:
        """Give an observer's thread; the observer is not closed by it."""
        voice = Voice(observer or self.make(), self.grace)
        try:
            yield voice
        finally:
            voice.end()

    def exercise(self) -> None:
        """Let it hear and see what is usual, and close it."""
        with self.voice() as voice:
            try:
                voice.tell(usual())
                voice.show()
            finally:
                voice.close()
