"""Clauses about `ack`: at any time, on any thread, at once."""

from __future__ import annotations

import threading
import time
from typing import Any

import attrs

from etl_core.interfaces import Source
from etl_core.testing.source.base import SourceKit
from etl_core.testing.source.reading import Reading
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["AckClauses"]

#: Of so many calls the quickest has to return within so many seconds, however busy the machine is.
_CALLS = 4
_AT_ONCE = 0.5


class AckClauses(SourceKit):
    """A source is told what is durable without being asked when."""

    def test_ack_may_come_at_any_time(self) -> None:
        """`ack` returns at once: before, during and after a read, on any thread, twice, with an older value.

        Note the value and let the reading thread, or one of `ctx.spawn`, tell the system. What comes after
        an acknowledged position must still be there.
        """
        history = self.history(changes=0)
        if not history.places:
            skip("it emits no position")
        place, until = history.places[0], history.until
        if self.can_change:
            for _ in range(3):
                self.change()
            place = history.places[-1]
        with self.source() as source:
            until = self.latest(source)
            acks = _Acks(source, self.patience)
            acks.give(place.value, "before a read")
            follow = _Follow(acks, place.value)
            with self.context() as ctx:
                reading = Reading(source, ctx, place.value, until, enough=follow)
                reading.start().over(self.deadline)
                acks.give(follow.last, "after a read")
            acks.give(follow.last, "after a failure")
        batches = [*history.batches[: place.batches], *reading.batches]
        whole = attrs.evolve(history, batches=batches, until=until)
        place = next(place for place in whole.places if place.value == follow.last)
        self.same_rest(whole, place, after="ack")


class _Acks:
    """Calls `ack`, each time from a thread of its own."""

    def __init__(self, source: Source, patience: float) -> None:
        self._source = source
        self._patience = patience
        self._took: list[float] = []

    def give(self, value: Any, when: str) -> None:
        """Break the clause where it raises, or does not return."""
        raised: list[BaseException] = []
        started = time.monotonic()

        def ack() -> None:
            try:
                self._source.ack(value)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it must not be
                raised.append(error)
            self._took.append(time.monotonic() - started)

        thread = threading.Thread(target=ack, name="kit-ack", daemon=True)
        thread.start()
        thread.join(self._patience)
        expect(not thread.is_alive(), "ack does not return", when=when, waited=f"{self._patience:g} s")
        if raised:
            fail("ack raises", when=when, error=type(raised[0]).__name__)
        blocks = len(self._took) >= _CALLS and min(self._took) > _AT_ONCE
        expect(not blocks, "ack does not return at once", calls=_CALLS, fastest=f"{min(self._took):.1f} s")


class _Follow:
    """Acknowledges positions between two batches, as they become durable: each when the next has come."""

    def __init__(self, acks: _Acks, first: Any) -> None:
        self._acks = acks
        self.last = self._first = self._seen = first

    def __call__(self, reading: Reading) -> bool:
        value, before = reading.position, self._seen
        if value != before:
            self._seen = value
            self._acks.give(before, "during a read")
            self._acks.give(self._first, "of an older value")
            self._acks.give(before, "twice")
            self.last = before
        return False
