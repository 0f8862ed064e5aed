"""What the clauses about sources share: making one, reading it, and all that it tells from the beginning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import attrs
from attrs import field, frozen

from etl_core.errors import PositionLostError
from etl_core.interfaces import Source
from etl_core.model import Batch, Kind, Stream, StreamInfo
from etl_core.testing.common import CommonClauses
from etl_core.testing.source.changes import same
from etl_core.testing.source.reading import Reading
from etl_core.testing.verdicts import expect, fail, not_reached

__all__ = ["History", "Place", "SourceKit"]


@frozen
class Place:
    """A position: its value, and how many batches it covers."""

    value: Any
    batches: int


@frozen
class History:
    """All that a source tells; `until` is the system's end after it, None where the read ends by itself."""

    streams: dict[Stream, StreamInfo]
    batches: list[Batch]
    until: Any
    #: Places of the first read, and what came from there.
    rests: list[tuple[Place, list[Batch]]] = field(factory=list)

    @property
    def places(self) -> list[Place]:
        """Every position. The one of a schema change lies just before it."""
        return [
            Place(batch.position, number + (batch.kind is not Kind.SCHEMA))
            for number, batch in enumerate(self.batches)
            if batch.position is not None
        ]

    def some(self, most: int) -> list[Place]:
        """At most so many positions, evenly spread, the last and (of several) the first among them."""
        places = self.places
        if len(places) <= most:
            return places
        if most == 1:
            return places[-1:]
        return [places[n * (len(places) - 1) // (most - 1)] for n in range(most)]


class SourceKit(CommonClauses):
    """What the clauses about sources share."""

    section: ClassVar[str] = "extract"
    #: Seconds beyond `ctx.poll_interval` that anything may take which is not to block.
    patience: ClassVar[float] = 5.0
    #: Seconds for a read to end, or for a change to come.
    deadline: ClassVar[float] = 30.0
    #: Resume from every position, and kill at every place. Takes long.
    thorough: ClassVar[bool] = False

    def change(self) -> None:
        """Change the system a little, in one transaction: there must be new rows.

        For every source that reads on, endless or run again; one that reads states instead of changes gets
        new rows only, as it cannot tell again what was overwritten.
        """
        not_reached("give `change()`: it adds some rows to the system, so that there is something to follow")

    def exercise(self) -> None:
        """Check, list the streams, read to the end, acknowledge, close."""
        with self.source() as source:
            with self.context() as ctx:
                source.check(ctx)
                source.streams(ctx)
            reading = self.read(source, None, self.latest(source))
            self.stored += [batch.position for batch in reading.batches if batch.position is not None]
            if reading.position is not None:
                source.ack(reading.position)

    def teardown_method(self) -> None:
        """Have the source remove what it made for this clause's pipeline."""
        try:
            with suppress(Exception), self.source() as source, self.context() as ctx:
                source.teardown(ctx)
        finally:
            super().teardown_method()

    @contextmanager
    def source(self) -> Iterator[Source]:
        """Make a new source; close it."""
        source = self.make()
        try:
            yield source
        finally:
            source.close()

    def latest(self, source: Source) -> Any:
        """Ask for the system's end as of now."""
        with self.context() as ctx:
            return source.latest(ctx)

    def read(
        self, source: Source, resume: Any, until: Any, *, take: int | None = None, epoch: int = 1
    ) -> Reading:
        """Read to the end, or `take` batches and close the iterator. Raises what the source raises."""
        with self.context(epoch=epoch) as ctx:
            reading = Reading(source, ctx, resume, until, enough=lambda it: len(it.batches) == take)
            reading.start().over(self.deadline)
        return reading

    def history(self, changes: int = 2, *, resumed: int = 1) -> History:
        """Read everything; where `change` is given and there are positions also some changes made afterwards.

        Then `rests` holds what came from `resumed` positions of the first read, in order: what lies before a
        position that was resumed from, which is a durable one, a source may forget.
        """
        with self.source() as source:
            with self.context() as ctx:
                streams = {info.stream: info for info in source.streams(ctx)}
            until = self.latest(source)
            first = self.read(source, None, until)
        if not first.rows:
            not_reached("give the source some rows: there was nothing to read")
        history = History(_learned(streams, first.batches), first.batches, until)
        endless = until is not None
        expect(
            history.places or not endless,
            "an endless source yielded no position: nothing it reads can become durable",
        )
        followed = changes and history.places and self.can_change
        return self._followed(history, changes, resumed) if followed else history

    @property
    def can_change(self) -> bool:
        """Whether `change` is given, for the system that is read."""
        return type(self).change is not SourceKit.change and self.given is None

    def require_change(self) -> None:
        """End the clause where nothing can be changed."""
        if self.given is not None:
            not_reached("settings were given: nothing is written into the system that they name")
        if not self.can_change:
            self.change()

    def _followed(self, history: History, changes: int, resumed: int) -> History:
        for _ in range(changes):
            self.change()
        with self.source() as source:
            until = self.latest(source)
        rests = [(place, self.rest(place, until)) for place in history.some(resumed)]
        place, rest = rests[-1]
        batches = [*history.batches[: place.batches], *rest]
        return History(_learned(history.streams, batches), batches, until, rests)

    def rest(self, place: Place, until: Any) -> list[Batch]:
        """Have a new source read on from a place."""
        try:
            with self.source() as source:
                return self.read(source, place.value, until).batches
        except PositionLostError as error:
            fail("a position it emitted is lost", after_batch=place.batches, error=str(error))

    def same_rest(self, history: History, place: Place, **facts: object) -> None:
        """Have a new source read on from a place: it must yield exactly the rest."""
        rest = self.rest(place, history.until)
        same(history.batches, history.batches[: place.batches], rest, history.streams, **facts)


def _learned(streams: dict[Stream, StreamInfo], batches: Sequence[Batch]) -> dict[Stream, StreamInfo]:
    """Return the streams with the keys that markers announced."""
    known = dict(streams)
    for batch in batches:
        if batch.stream is not None and batch.schema is not None:
            old = known.get(batch.stream) or StreamInfo(batch.stream, batch.schema)
            key = old.key if batch.key is None else batch.key
            known[batch.stream] = attrs.evolve(old, schema=batch.schema, key=key)
    return known
