"""Clauses about positions: what is read from one is exactly the rest, however often, whatever happened."""

from __future__ import annotations

from typing import Any

import attrs

from etl_core.errors import EtlError, PositionLostError, RetryableError
from etl_core.interfaces import Source
from etl_core.testing.source.base import History, Place, SourceKit
from etl_core.testing.source.changes import same
from etl_core.testing.source.reading import Reading, stored
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["ResumeClauses"]

#: How many positions are resumed from unless `thorough`.
_SAMPLE = 12
#: How often a read may yield nothing before it has taken a position for good.
_IDLE = 10
#: How often nothing comes until one may believe that there is nothing.
_MOMENT = 3
_FAR = 10**15


class ResumeClauses(SourceKit):
    """What a source reads depends on the position alone."""

    def test_every_position_gives_the_rest(self) -> None:
        """Read on by a new object from any position it emitted, it yields exactly the rest.

        Let a position cover all rows yielded before it and in its batch, and nothing after; take where to
        start from `resume` alone, never from the object; read in an order that is the same every time.
        Positions are tried in order: what lies before one that was resumed from may be forgotten.
        """
        history = self.history(changes=0)
        if not history.places:
            skip("it emits no position: every run reads everything")
        most = len(history.places) if self.thorough else _SAMPLE
        for place in history.some(most):
            self.same_rest(history, place, after_batch=f"{place.batches} of {len(history.batches)}")
        if self.can_change:
            self._followed_from_each(most)

    def _followed_from_each(self, most: int) -> None:
        """The same with changes that came after the first read, and with the positions among them."""
        history = self.history(resumed=most)
        whole = len(history.batches)
        place, rest = history.rests[-1]
        news = any(batch.rows is not None for batch in rest)
        expect(news, "what changed after a position does not come", after_batch=f"{place.batches} of {whole}")
        for place, rest in history.rests:
            before = history.batches[: place.batches]
            same(history.batches, before, rest, history.streams, after_batch=f"{place.batches} of {whole}")
        later = [place for place in history.some(most) if place.batches > history.rests[-1][0].batches]
        for place in later:
            self.same_rest(history, place, after_batch=f"{place.batches} of {whole}")

    def test_reading_consumes_nothing(self) -> None:
        """What was read and not acknowledged can be read again, from the first position and from none.

        Let the system forget in `ack` only, never while reading or idling: what is read may yet be lost.
        """
        history = self.history(changes=0)
        if history.until is not None:
            self._read_and_idle(history.places[0])
        for place in [*history.places[:1], Place(None, 0)]:
            where = "the first position" if place.batches else "no position"
            self.same_rest(history, place, resumed_from=where)

    def _read_and_idle(self, place: Place) -> None:
        """Read to the end and idle there for a moment; nothing is acknowledged."""
        with self.source() as source, self.context() as ctx:
            reading = Reading(source, ctx, place.value, enough=lambda it: it.idle >= _MOMENT).start()
            reading.wait(lambda: reading.is_over, self.patience)

    def test_it_reads_again_after_a_failure(self) -> None:
        """After its iterator was closed in the middle, the same object reads on from any position since.

        Keep no state of a read on the object, or begin `read` by making it new: the engine calls it again,
        from what is durable, and that lies behind what was read.
        """
        history = self.history()
        for place, rest in history.rests:  # once: from a later position there is no way back to this one
            changes = attrs.evolve(history, batches=rest)
            self._reads_again(changes, place.value, max(1, len(rest) // 2), cancelled=True)
        for take in sorted({1, 2, max(1, len(history.batches) // 2)}):
            for cancelled in (False, True):
                self._reads_again(history, None, take, cancelled=cancelled)
        for behind in (1, len(history.places)):
            self._reads_again(history, None, len(history.batches), cancelled=False, behind=behind)

    def _reads_again(
        self, history: History, resume: Any, take: int, *, cancelled: bool, behind: int = 0
    ) -> None:
        """Read so much, close, and go on from what is durable: so many positions `behind` the last."""
        with self.source() as source:
            part = self._broken_off(source, history, resume, take, cancelled=cancelled)
            places = attrs.evolve(history, batches=part.batches).places
            durable = [Place(resume, 0), *places][: len(places) + 1 - behind or 1][-1]
            rest = self.read(source, durable.value, history.until).batches
        where = {"closed_after": take, "cancelled": cancelled, "positions_behind": behind}
        same(history.batches, [], [*part.batches[: durable.batches], *rest], history.streams, **where)

    def _broken_off(
        self, source: Source, history: History, resume: Any, take: int, *, cancelled: bool
    ) -> Reading:
        """Read so many batches; then the iterator is closed, as after a failure elsewhere."""
        with self.context() as ctx:

            def enough(reading: Reading) -> bool:
                if len(reading.batches) == take and cancelled:
                    ctx.scope.stop()
                return len(reading.batches) == take

            reading = Reading(source, ctx, resume, history.until, enough=enough)
            return reading.start().over(self.deadline)

    def test_a_position_that_is_not_its_own_is_refused(self) -> None:
        """A position of another shape, or far beyond the log's end, is an error and not a new beginning.

        Verify `resume` at the start of `read` and raise PositionLostError (StateError where it is of another
        source): `resume or 0` starts over in silence, and a number too high skips what is yet to come.
        Numbers too high are tried where `stable_seq` says that there is a log.
        """
        history = self.history()
        if not history.places:
            skip("it emits no position: none is ever handed to it")
        value = history.places[-1].value
        shapes: dict[str, Any] = {"an empty object": {}, "an empty list": [], "an unknown key": {"surely": 1}}
        shapes |= {"a text": "surely no position", "a fraction": 0.5}
        own = "an unknown key" if isinstance(value, dict) else ""
        for name, one in shapes.items():
            if name == own or type(one) is not type(stored(value)):
                self._refused(history, name, one)
        if type(value) is int and any(info.stable_seq for info in history.streams.values()):
            self._refused(history, "a number far beyond", value + _FAR)
        if isinstance(value, str):  # where texts are compared, it lies behind the last
            self._refused(history, "a text that goes on", f"{value}~surely", may_be_one=True)

    def _refused(self, history: History, name: str, value: Any, *, may_be_one: bool = False) -> None:
        """Break the clause unless it is refused; where it `may_be_one` of its own, unless nothing comes."""

        def taken(reading: Reading) -> bool:
            return bool(reading.rows) or reading.idle >= _IDLE

        with self.source() as source, self.context() as ctx:
            reading = Reading(source, ctx, value, history.until, enough=taken).start()
            try:
                reading.over(self.deadline)
            except RetryableError:
                fail("a position that is not its own is to be tried again", position=name)
            except EtlError:
                return
            except Exception as error:  # noqa: BLE001 - an operator cannot know what it means
                fail("an error that says nothing to an operator", position=name, error=type(error).__name__)
        expect(not reading.rows, "rows come from a position that is not its own", position=name)
        expect(may_be_one, "a position that is not its own is taken without a word", position=name)

    def test_teardown_can_be_repeated(self) -> None:
        """`teardown` may be called twice; after it a position is served exactly, or raises PositionLostError.

        Remove what is there, not what should be; verify in `read` that what the position needs still exists.
        """
        history = self.history()
        removed: list[str] = []
        for _ in range(2):
            with self.source() as source, self.context() as ctx:
                told = source.teardown(ctx)
                expect(all(isinstance(text, str) for text in told), "teardown returns what is no text")
                removed += told
        if not removed or not history.places:
            return
        for place in (history.places[0], history.places[-1]):
            try:
                with self.source() as source:
                    rest = self.read(source, place.value, history.until).batches
            except PositionLostError:
                continue
            before = history.batches[: place.batches]
            same(history.batches, before, rest, history.streams, after="teardown")
