"""One function maps an error to what happens next; one loop does it."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import tenacity

from etl_core.errors import PositionLostError, RetryableError

if TYPE_CHECKING:
    from etl_core.config import RetryPolicy
    from etl_core.interfaces import Cancel

__all__ = ["Next", "Retrier", "next_step"]


class Next(enum.Enum):
    """What the engine does after an error."""

    RETRY = "back to the last durable position, read again"
    RESTART = "raise the epoch, read from the beginning"
    STOP = "stop"


def next_step(error: BaseException) -> Next:
    """Return what happens after `error`. Rejected rows are no error until `on_error` makes them one."""
    if isinstance(error, RetryableError):
        return Next.RETRY
    if isinstance(error, PositionLostError) and error.resnapshot:
        return Next.RESTART
    return Next.STOP


class Retrier:
    """Calls an attempt until it succeeds, is not to be repeated, or failed too often in a row.

    `progressed` forgets the failures so far: only durable progress does so.
    """

    def __init__(
        self, policy: RetryPolicy, cancel: Cancel, on_retry: Callable[[BaseException, int, float], None]
    ) -> None:
        self._policy = policy
        self._cancel = cancel
        self._on_retry = on_retry
        self._failures = 0
        self._backoff = tenacity.wait_random_exponential(multiplier=policy.base, max=policy.cap)

    def progressed(self) -> None:
        self._failures = 0

    def run(self, attempt: Callable[[], None]) -> None:
        """Raise what the last attempt raised."""
        tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: next_step(error) is not Next.STOP),
            stop=self._stop,
            wait=self._wait,
            before_sleep=self._announce,
            sleep=self._sleep,
            reraise=True,
        )(attempt)

    def _stop(self, state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        least = 2 if error is not None and next_step(error) is Next.RESTART else 1
        return self._failures >= max(least, self._policy.attempts)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        self._failures += 1  # tenacity asks for the wait before it asks whether to stop
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RetryableError) and error.retry_after is not None:
            return error.retry_after
        state.attempt_number = self._failures
        return self._backoff(state)

    def _announce(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            self._on_retry(error, self._failures, state.upcoming_sleep)

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._cancel.is_set() and time.monotonic() < deadline:
            self._cancel.wait(deadline - time.monotonic())
