"""A breaker per host: while the service asks for rest, or only fails, nobody of this process asks it."""

from __future__ import annotations

import threading
import time
from functools import cache

__all__ = ["Breaker", "breaker"]

#: So many failures in a row, of whomever, count as the service's.
_MANY = 3


class Breaker:
    """Closed as long as requests are answered. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0

    def rest(self) -> float:
        """Return for how many seconds nobody is to ask."""
        with self._lock:
            return max(0.0, self._until - time.monotonic())

    def failed(self, pause: float, *, asked: bool) -> None:
        """A request failed, and is sent again after a pause; `asked`: the service itself wants that."""
        with self._lock:
            self._failures += 1
            if asked or self._failures >= _MANY:
                self._until = max(self._until, time.monotonic() + pause)

    def answered(self) -> None:
        """A request was answered."""
        with self._lock:
            self._failures, self._until = 0, 0.0


@cache
def breaker(address: str) -> Breaker:
    """Return the breaker of a host and port, one in this process."""
    return Breaker()
