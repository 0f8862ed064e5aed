from __future__ import annotations

import threading

import pytest

from etl_core.config import Duration, RetryPolicy
from etl_core.engine.retry import Next, Retrier, next_step
from etl_core.errors import (
    Cancelled,
    FatalError,
    PositionLostError,
    RejectedRowsError,
    RetryableError,
    SchemaError,
)

FAST = RetryPolicy(attempts=3, base=Duration(0.001), cap=Duration(0.002))


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (RetryableError("later"), Next.RETRY),
        (PositionLostError("gone", resnapshot=True), Next.RESTART),
        (PositionLostError("gone"), Next.STOP),
        (FatalError("x"), Next.STOP),
        (SchemaError("x"), Next.STOP),
        (RejectedRowsError("x"), Next.STOP),
        (ValueError("x"), Next.STOP),
        (Cancelled(), Next.STOP),
    ],
)
def test_one_function_says_what_happens_next(error: BaseException, step: Next) -> None:
    assert next_step(error) is step


class Attempts:
    def __init__(self, *errors: BaseException | None) -> None:
        self.errors = list(errors)
        self.made = 0

    def __call__(self) -> None:
        self.made += 1
        error = self.errors.pop(0)
        if error is not None:
            raise error


def test_a_passing_failure_is_repeated_until_it_passes() -> None:
    heard: list[tuple[str, int]] = []
    retrier = Retrier(FAST, threading.Event(), lambda error, n, wait: heard.append((str(error), n)))
    attempts = Attempts(RetryableError("a"), RetryableError("b"), None)
    retrier.run(attempts)
    assert attempts.made == 3
    assert heard == [("a", 1), ("b", 2)]


def test_failures_in_a_row_end_with_the_last_error() -> None:
    attempts = Attempts(*[RetryableError(str(n)) for n in range(5)])
    with pytest.raises(RetryableError, match="2"):
        Retrier(FAST, threading.Event(), lambda *_: None).run(attempts)
    assert attempts.made == 3


def test_only_durable_progress_forgets_failures() -> None:
    retrier = Retrier(FAST, threading.Event(), lambda *_: None)
    made = 0

    def attempt() -> None:
        nonlocal made
        made += 1
        if made <= 6:
            retrier.progressed()
            raise RetryableError("again")

    retrier.run(attempt)
    assert made == 7


def test_the_peers_own_wish_wins_over_the_backoff() -> None:
    waits: list[float] = []
    retrier = Retrier(FAST, threading.Event(), lambda _e, _n, wait: waits.append(wait))
    retrier.run(Attempts(RetryableError("busy", retry_after=0.05), None))
    assert waits == [0.05]


def test_a_cancel_ends_the_wait() -> None:
    cancel = threading.Event()
    retrier = Retrier(FAST, cancel, lambda *_: cancel.set())
    attempts = Attempts(RetryableError("busy", retry_after=3600), Cancelled())
    with pytest.raises(Cancelled):
        retrier.run(attempts)
    assert attempts.made == 2


def test_starting_over_is_no_repetition_that_one_attempt_forbids() -> None:
    once = RetryPolicy(attempts=1, base=Duration(0), cap=Duration(0))
    attempts = Attempts(PositionLostError("gone", resnapshot=True), None)
    Retrier(once, threading.Event(), lambda *_: None).run(attempts)
    assert attempts.made == 2
    again = Attempts(*[PositionLostError("gone", resnapshot=True)] * 3)
    with pytest.raises(PositionLostError):
        Retrier(once, threading.Event(), lambda *_: None).run(again)
    assert again.made == 2
