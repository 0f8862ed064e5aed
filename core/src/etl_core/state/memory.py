"""State in this process: what `sqlite` keeps in a file, in dictionaries."""

from __future__ import annotations

import os
import threading
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from attrs import define, field

from etl_core.errors import StateError
from etl_core.interfaces import DeadLetter, Saved, StateStore
from etl_core.model import Position, Stream
from etl_core.state.config import MemoryConfig

__all__ = ["MemoryStore"]

LetterId = tuple[int, Stream, str, str]


@define
class _Record:
    history: deque[Saved]
    position: Position | None = None
    fence: str | None = None
    note: Mapping[str, Any] | None = None
    letters: dict[LetterId, DeadLetter] = field(factory=dict)


class MemoryStore(StateStore):
    """A store that lives as long as the object. Claims are exclusive within it."""

    def __init__(self, config: MemoryConfig | None = None) -> None:
        self._config = config or MemoryConfig()
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}

    def claim(self, pipeline: str) -> str:
        with self._lock:
            record = self._records.setdefault(pipeline, _Record(deque(maxlen=self._config.history)))
            if record.fence:
                raise StateError(
                    "another run holds this pipeline",
                    "wait for it to end, or give one of them another name",
                    pipeline=pipeline,
                    holder=self._whoami(),
                )
            record.fence = uuid.uuid4().hex
            return record.fence

    def load(self, pipeline: str) -> Position | None:
        with self._lock:
            record = self._records.get(pipeline)
            return record.position if record else None

    def save(self, fence: str, position: Position) -> None:
        with self._lock:
            record = self._claimed(fence)
            if record.position != position:
                record.position = position
                record.history.appendleft(Saved(position, time()))

    def history(self, pipeline: str, limit: int = 100) -> Sequence[Saved]:
        with self._lock:
            record = self._records.get(pipeline)
            return list(record.history)[:limit] if record else []

    def note(self, fence: str, note: Mapping[str, Any]) -> None:
        with self._lock:
            self._claimed(fence).note = note

    def noted(self, pipeline: str) -> Mapping[str, Any] | None:
        with self._lock:
            record = self._records.get(pipeline)
            return record.note if record else None

    def release(self, fence: str) -> None:
        with self._lock:
            for record in self._records.values():
                if record.fence == fence:
                    record.fence = None

    def clear(self, fence: str) -> None:
        with self._lock:
            record = self._claimed(fence)
            record.position = record.note = None
            record.history.clear()

    def pipelines(self) -> Sequence[str]:
        with self._lock:
            return sorted(self._records)

    def holder(self, pipeline: str) -> str | None:
        with self._lock:
            record = self._records.get(pipeline)
            return self._whoami() if record and record.fence else None

    def add_dead_letters(self, fence: str, letters: Sequence[DeadLetter]) -> None:
        with self._lock:
            record = self._claimed(fence)
            new: dict[LetterId, DeadLetter] = {}
            for letter in letters:
                key = (letter.epoch, letter.stream, letter.seq, letter.stage)
                if key not in record.letters:
                    new.setdefault(key, letter)
            if new and len(record.letters) + len(new) > self._config.dead_letters:
                raise StateError(
                    "there is no room for more dead letters",
                    "raise dead_letters of the state store, or use on_error: fail to stop at the first",
                    limit=self._config.dead_letters,
                )
            record.letters.update(new)

    def dead_letters(self, pipeline: str, limit: int = 100) -> Sequence[DeadLetter]:
        with self._lock:
            record = self._records.get(pipeline)
            return list(record.letters.values())[:limit] if record else []

    def _claimed(self, fence: str) -> _Record:
        for record in self._records.values():
            if record.fence == fence:
                return record
        raise StateError("the claim of this run is lost", "another run took over, or this one was released")

    @staticmethod
    def _whoami() -> str:
        return f"pid {os.getpid()}, this process"
