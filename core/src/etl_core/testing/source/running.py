"""Clauses about a read that goes on: ending, being cancelled or broken off, acknowledging."""

from __future__ import annotations

from functools import partial

from etl_core.errors import EtlError
from etl_core.interfaces import Source
from etl_core.testing.contexts import KitContext
from etl_core.testing.leftovers import Census
from etl_core.testing.source.base import SourceKit
from etl_core.testing.source.reading import Reading
from etl_core.testing.verdicts import Failed, expect, fail, skip

__all__ = ["RunClauses"]

#: How often nothing comes until one may believe that there is nothing.
_IDLE = 3
_ENDS = "its reads end by themselves"


class RunClauses(SourceKit):
    """A source is a good guest on the engine's threads."""

    def test_it_ends_at_until(self) -> None:
        """A read with `until` ends by itself, and yields all that was there when `latest` was asked.

        Compare the place reached with `until` also when nothing comes any more, and whoever writes meanwhile.
        """
        with self.source() as source:
            until = self.latest(source)
            if until is None:
                skip(_ENDS)
            position = self.read(source, None, until).position
        self.require_change()
        self.change()
        with self.source() as source:
            reading = self.read(source, position, self.latest(source))
            expect(reading.rows, "what was there when `latest` was asked does not come")
            more = self._rows_from(source, reading.position)
            expect(not more, "the read ended before all that was there when `latest` was asked", missing=more)
            until = self.latest(source)
            self.change()
            self.read(source, reading.position, until)

    def _rows_from(self, source: Source, resume: object) -> int:
        """Read without end for a moment, and say how many rows came."""
        with self.context() as ctx:
            reading = Reading(source, ctx, resume, enough=lambda it: it.idle >= _IDLE).start()
            reading.wait(lambda: reading.is_over, self.patience)
            reading.check()
        return reading.rows

    def test_it_ends_when_cancelled(self) -> None:
        """Cancelled, while it reads and while it idles, it comes back within the time of grace, and cleanly.

        Look at `ctx.cancel` in every loop, interrupt what blocks through `ctx.on_cancel`, and let neither
        GeneratorExit nor Cancelled be swallowed by an `except` that is too wide.
        """
        history = self.history()
        census = Census()
        with self.source() as source:
            if history.until is not None:
                self._cancelled_idle(source, history.places[-1].value)
            with self.context() as ctx:
                # It may be within `next` that a cancel comes: the source is asked once more.
                enough = partial(_stop, ctx)
                reading = Reading(source, ctx, None, history.until, enough=enough, heedless=True)
                reading.start().wait(lambda: reading.batches, self.deadline)
                self._cancelled(ctx, reading, "while it reads")
        left = census.left(self.grace)
        expect(not left, "something was left behind after a cancel", left=", ".join(left))

    def _cancelled_idle(self, source: Source, resume: object) -> None:
        """Go on asking for batches: what idles for ever has to look at `cancel` itself."""
        with self.context() as ctx:
            reading = Reading(source, ctx, resume, heedless=True).start()
            reading.wait(lambda: reading.idle, self.patience)
            reading.check()
            self._cancelled(ctx, reading, "while it idles")

    def _cancelled(self, ctx: KitContext, reading: Reading, when: str) -> None:
        """Cancel; it may end, or raise what an interrupted connection makes it raise."""
        ctx.scope.stop()
        ended = reading.wait(lambda: reading.is_over, self.grace)
        reading.abandon()
        expect(ended, "it goes on after a cancel", when=when, waited=f"{self.grace:g} s")
        if isinstance(reading.error, Failed):
            raise reading.error
        if reading.error is not None and not isinstance(reading.error, EtlError):
            fail("it raises after a cancel", when=when, error=type(reading.error).__name__)

    def test_nothing_is_left_after_a_failure(self) -> None:
        """When its iterator is closed in the middle, and then it itself, nothing of it is left.

        Open files and connections in a `with` inside `read`, or close them in `close`.
        """
        history = self.history(changes=0)
        census = Census()
        for take in sorted({1, max(1, len(history.batches) - 1)}):
            with self.source() as source:
                self.read(source, None, history.until, take=take)
        left = census.left(self.grace)
        expect(not left, "something was left behind", left=", ".join(left))


def _stop(ctx: KitContext, reading: Reading) -> bool:
    """Cancel at the first batch; what came next is enough."""
    if ctx.cancel.is_set():
        return True
    if reading.batches:
        ctx.scope.stop()
    return False
