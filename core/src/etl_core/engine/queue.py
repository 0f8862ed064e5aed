"""The bounded queue between the source's thread and the thread that loads."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

__all__ = ["ByteQueue"]

T = TypeVar("T")


class ByteQueue(Generic[T]):
    """A first-in first-out queue bounded by the bytes its items retain.

    One item larger than the bound is let in when the queue is empty, so that nothing ever waits for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._closed = False
        self._woken = False
        self._change = threading.Condition()

    def put(self, item: T, size: int = 0) -> bool:
        """Append, waiting for room; False when the queue was closed and the item is not taken."""
        with self._change:
            self._change.wait_for(lambda: self._closed or not self._items or self._fits(size))
            if self._closed:
                return False
            self._items.append((item, size))
            self._bytes += size
            self._change.notify_all()
            return True

    def get(self, timeout: float) -> T | None:
        """Take the oldest item; None after `timeout` seconds without one, or when woken."""
        deadline = time.monotonic() + timeout
        with self._change:
            while not self._items and not self._woken and not self._closed:
                if not self._change.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    break
            self._woken = False
            if not self._items:
                return None
            item, size = self._items.popleft()
            self._bytes -= size
            self._change.notify_all()
            return item

    def wake(self) -> None:
        """Make a waiting `get` return, so that its caller looks around."""
        with self._change:
            self._woken = True
            self._change.notify_all()

    def close(self) -> None:
        """Drop everything; later puts are refused."""
        with self._change:
            self._closed = True
            self._items.clear()
            self._bytes = 0
            self._change.notify_all()

    def _fits(self, size: int) -> bool:
        return self._bytes + size <= self._limit
