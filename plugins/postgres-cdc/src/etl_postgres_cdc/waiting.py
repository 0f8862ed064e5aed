"""Waiting for a socket, whatever its number: `select` takes none above 1023."""

from __future__ import annotations

import selectors

__all__ = ["readable", "writable"]

#: Seconds; more than anybody waits at once, and less than any selector refuses.
_LONGEST = 1e6
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


def readable(fd: int, timeout: float) -> bool:
    """Wait at most `timeout` seconds until something can be read; say whether it can."""
    return _ready(fd, selectors.EVENT_READ, timeout)


def writable(fd: int, timeout: float) -> bool:
    """Wait at most `timeout` seconds until something can be written; say whether it can."""
    return _ready(fd, selectors.EVENT_WRITE, timeout)


def _ready(fd: int, event: int, timeout: float) -> bool:
    with _Selector() as selector:
        selector.register(fd, event)
        return bool(selector.select(min(max(0.0, timeout), _LONGEST)))
