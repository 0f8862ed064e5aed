"""Iterating `Source.read` as the engine does: on a thread of its own, closed on that thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

from etl_core.errors import Cancelled
from etl_core.interfaces import Source
from etl_core.model import Batch, Kind
from etl_core.testing.contexts import KitContext
from etl_core.testing.verdicts import Failed, expect, fail

__all__ = ["Reading", "stored"]


def _never(reading: Reading) -> bool:
    return False


class Reading:
    """One `read`: its batches, and how it ended.

    It goes on until the read ends, until `enough` says so (asked after everything yielded) or until a
    cancel, of which it takes no notice when `heedless`; the iterator is closed then. The position to resume
    from is handed over as it comes out of a state store: as JSON.
    """

    def __init__(
        self,
        source: Source,
        ctx: KitContext,
        resume: Any = None,
        until: Any = None,
        *,
        enough: Callable[[Reading], bool] = _never,
        heedless: bool = False,
    ) -> None:
        self.batches: list[Batch] = []
        #: How often it yielded None, and the longest time (seconds) it took to yield anything.
        self.idle = 0
        self.longest = 0.0
        #: What the read raised.
        self.error: BaseException | None = None
        self._source = source
        self._ctx = ctx
        self._resume = stored(resume)
        self._until = until
        self._enough = enough
        self._heedless = heedless
        self._over = False
        self._changed = threading.Condition()

    @property
    def yields(self) -> int:
        """How often it yielded, be it nothing."""
        return self.idle + len(self.batches)

    @property
    def rows(self) -> int:
        """How many rows came."""
        return sum(batch.rows.num_rows for batch in self.batches if batch.rows is not None)

    @property
    def position(self) -> Any:
        """The position to resume from: the last that came, else where this read began."""
        values = (batch.position for batch in reversed(self.batches))
        return next((value for value in values if value is not None), self._resume)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self._over

    def abandon(self) -> None:
        """Take notice of a cancel from here on."""
        self._heedless = False

    def start(self) -> Self:
        """Begin to read."""
        self._ctx.spawn(self._run, name="kit-read")
        return self

    def wait(self, condition: Callable[[], object], patience: float) -> bool:
        """Wait until the condition holds or the read is over; say whether it holds."""
        deadline = time.monotonic() + patience
        with self._changed:
            while not condition() and not self._over and time.monotonic() < deadline:
                self._changed.wait(0.05)
            return bool(condition())

    def check(self) -> None:
        """Raise what the read raised."""
        if self.error is not None:
            raise self.error

    def over(self, patience: float) -> Self:
        """Wait until the read is over; raise what it raised. Breaks the clause when it goes on."""
        expect(
            self.wait(lambda: self._over, patience),
            "the read did not end",
            waited=f"{patience:g} s",
            batches=len(self.batches),
            idle_yields=self.idle,
        )
        self.check()
        return self

    def _run(self) -> None:
        try:
            self._iterate()
        except Cancelled as error:
            self.error = None if self._ctx.cancel.is_set() else error
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _iterate(self) -> None:
        iterator = iter(self._source.read(self._ctx, self._resume, self._until))
        try:
            while self._heedless or not self._ctx.cancel.is_set():
                started = time.monotonic()
                try:
                    batch = next(iterator)
                except StopIteration:
                    return
                self._note(batch, time.monotonic() - started)
                if self._enough(self):
                    return
        finally:
            _close(iterator)

    def _note(self, batch: Batch | None, seconds: float) -> None:
        if batch is not None and not isinstance(batch, Batch):
            fail("it yielded something that is no batch", found=type(batch).__name__)
        if batch is not None and batch.kind is not Kind.PROGRESS and batch.stream is None:
            fail("it yielded a batch without a stream", kind=batch.kind.value)
        if batch is not None and batch.kind is Kind.ROWS and batch.rows is None:
            fail("it yielded a batch of rows without rows", stream=batch.stream)
        with self._changed:
            self.longest = max(self.longest, seconds)
            if batch is None:
                self.idle += 1
            else:
                self.batches.append(batch)
            self._changed.notify_all()


def stored(value: Any) -> Any:
    """Return a position as a state store gives it back."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        fail("a position is no JSON value", type=type(value).__name__)


def _close(iterator: Iterator[Any]) -> None:
    """Close what is a generator, as the engine does."""
    close = getattr(iterator, "close", None)
    if close is None:
        return
    try:
        close()
    except BaseException as error:
        raise Failed("its iterator could not be closed", error=type(error).__name__) from error
