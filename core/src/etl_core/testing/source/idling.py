"""Clauses about a read with nothing to read: it yields, goes on, and says where it is."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import groupby

import attrs

from etl_core.testing.source.base import History, Place, SourceKit
from etl_core.testing.source.changes import same
from etl_core.testing.source.reading import Reading
from etl_core.testing.verdicts import expect, skip

__all__ = ["IdleClauses"]

#: How often nothing comes until one may believe that there is nothing.
_IDLE = 3
#: How many positions of a read that idled are resumed from.
_POSITIONS = 12
_ENDS = "its reads end by themselves"


class IdleClauses(SourceKit):
    """A source waits for news without keeping the engine waiting."""

    def test_it_yields_when_idle(self) -> None:
        """When there is nothing to read it yields None every `ctx.poll_interval`.

        Wait with `ctx.cancel.wait(ctx.poll_interval)`, or with that as the timeout of a blocking call.
        """
        history = self.history(changes=0)
        if history.until is None:
            skip(_ENDS)
        with self.source() as source, self.context() as ctx:
            reading = Reading(source, ctx, history.places[-1].value)
            most = ctx.poll_interval + self.patience
            idle = reading.start().wait(lambda: reading.yields >= _IDLE, _IDLE * most)
            reading.check()
            expect(idle, "it does not yield while there is nothing to read", waited=f"{_IDLE * most:g} s")
            expect(reading.longest <= most, "it took long to yield", seconds=f"{reading.longest:.1f}")

    def test_it_goes_on_after_idling(self) -> None:
        """What changes while a read idles comes in that same read; a position told meanwhile gives the rest.

        Look for news each time before it waits, from what was found last on. A position lies at what was
        yielded, not at the system's end as of now.
        """
        history = self.history(changes=0)
        if history.until is None:
            skip(_ENDS)
        self.require_change()
        with self.source() as source, self.context() as ctx:
            reading = Reading(source, ctx, history.places[-1].value).start()
            for into in (0.0, ctx.poll_interval / 2):  # as a wait begins, and amid it
                self._goes_on(reading, into)
            self._idles(reading)
        self._told_truly(history, reading)

    def _goes_on(self, reading: Reading, into: float) -> None:
        rows = reading.rows
        self._idles(reading)
        time.sleep(into)
        self.change()
        came = reading.wait(lambda: reading.rows > rows, self.deadline)
        reading.check()
        expect(came, "what changed while it idled does not come", waited=f"{self.deadline:g} s")

    def _idles(self, reading: Reading) -> None:
        yields = reading.yields
        reading.wait(lambda: reading.yields > yields, self.patience)

    def _told_truly(self, history: History, reading: Reading) -> None:
        """Read on from positions of a read that idled: they cover what it told, no more."""
        self.change()
        with self.source() as source:
            until = self.latest(source)
        wanted = self.rest(attrs.evolve(history.places[-1], batches=0), until)
        told = attrs.evolve(history, batches=reading.batches)
        for place in _turns(told.places)[:_POSITIONS]:
            before, where = reading.batches[: place.batches], {"after_batch": place.batches}
            same(wanted, before, self.rest(place, until), history.streams, **where)


def _turns(places: Sequence[Place]) -> list[Place]:
    """Return of places with one value after another the first and the last."""
    found: list[Place] = []
    for _, group in groupby(places, lambda place: json.dumps(place.value, sort_keys=True)):
        first, *others = group
        found += [first, *others[-1:]]
    return found
