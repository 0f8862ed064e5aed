"""Which marks are durable, which of them were told, and what is known to be saved."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

from etl_core import Position, Stream
from etl_snowflake.gathering import End, Mark

__all__ = ["Durability"]


class Durability:
    """A mark is durable when all before it has landed, and all that was streamed is committed. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saving: list[End] = []
        self.forget()

    def forget(self) -> None:
        """Drop what was not told. What was told last may be saved: who goes on says so."""
        with self._lock:
            self._marks: deque[Mark] = deque()
            self._landed: Position | None = None
            self._streamed: Position | None = None
            self._durable: Position | None = None
            self._told: Position | None = None
            self._ready: dict[Stream, str] = {}
            #: Ends of histories' snapshots that are durable, (`_saving`) told, and known to be saved.
            self._ended: list[End] = []
            self._saved: list[End] = []
            self._complete = False

    def mark(self, mark: Mark) -> None:
        """End a group."""
        with self._lock:
            self._marks.append(mark)

    def reach(self, *, landed: Position | None, streamed: Position | None) -> None:
        """Note up to where all COPYs are done, or all that was streamed is committed."""
        with self._lock:
            self._landed = landed or self._landed
            self._streamed = streamed or self._streamed
            while self._marks and self._landed and self._streamed:
                reached = min(self._landed.order, self._streamed.order)
                if self._marks[0].position.order > reached:
                    return
                self._pass(self._marks.popleft())

    def _pass(self, mark: Mark) -> None:
        self._durable = mark.position
        self._ready.update(mark.seen)
        self._ended += mark.ends
        self._complete |= mark.position.complete

    def tell(self) -> Position | None:
        """Return the last mark that became durable since the last call."""
        with self._lock:
            if self._durable is None or self._durable is self._told:
                return None
            self._told = self._durable
            self._saving, self._ended = self._ended, []
            return self._durable

    def told(self, position: Position) -> None:
        """Everything is durable up to a position, which is told now."""
        with self._lock:
            self._durable = self._told = position
            self._saving, self._ended = self._ended, []

    def go_on(self) -> None:
        """What was told is saved, or nobody would go on."""
        with self._lock:
            self._saved += self._saving
            self._saving = []

    def saved(self, end: End) -> None:
        """The end of a snapshot is saved: its source has gone on behind it."""
        with self._lock:
            self._saved.append(end)

    def take_saved(self) -> list[End]:
        """Return the ends that are saved, once."""
        with self._lock:
            saved, self._saved = self._saved, []
            return saved

    def ready(self) -> Mapping[Stream, str]:
        """Return up to which seqs streams are durable and complete."""
        with self._lock:
            return dict(self._ready)

    @property
    def complete(self) -> bool:
        """Whether a position with all of its transaction was durable."""
        return self._complete
