"""How a clause ends, and how its code says so."""

from __future__ import annotations

import enum
import unittest
from typing import NoReturn

__all__ = ["Failed", "NotReached", "Verdict", "expect", "fail", "not_reached", "skip"]


class Verdict(enum.StrEnum):
    """How a clause ended."""

    PASS = "PASS"  # noqa: S105 - no password
    #: The connector does not keep what the clause asks for.
    FAIL = "FAIL"
    #: The clause is about something that this connector does not claim to do.
    SKIP = "SKIP"
    #: The clause could not be tried: something it needs is missing. Nothing is known about the connector.
    NOT_REACHED = "NOT REACHED"


class Failed(AssertionError):
    """The connector broke a clause. The message is constant; `facts` say where."""

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __str__(self) -> str:
        facts = ", ".join(f"{key}={value}" for key, value in self.facts.items())
        return f"{self.message} ({facts})" if facts else self.message


class NotReached(Failed):
    """A clause could not be tried. pytest shows it as a failure: an untried promise is not a kept one."""


def expect(condition: object, message: str, **facts: object) -> None:
    """Break the clause unless `condition` holds. Facts hold no row values and no secrets."""
    if not condition:
        raise Failed(message, **facts)


def fail(message: str, **facts: object) -> NoReturn:
    """Break the clause."""
    raise Failed(message, **facts)


def skip(reason: str) -> NoReturn:
    """End a clause that is about something the connector does not claim. pytest shows a skipped test."""
    raise unittest.SkipTest(reason)


def not_reached(reason: str, **facts: object) -> NoReturn:
    """End a clause that cannot be tried; `reason` says what to give it."""
    raise NotReached(reason, **facts)
