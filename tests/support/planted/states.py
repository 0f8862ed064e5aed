"""State stores with one fault each, on top of the core's."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs

from etl_core.errors import StateError
from etl_core.interfaces import DeadLetter, Saved
from etl_core.model import Position
from etl_core.state.locks import FileLock
from etl_core.state.memory import MemoryStore
from etl_core.state.sqlite import SqliteStore

# In one object


class TakesInTwoSteps(MemoryStore):
    """Looks whether the claim is free, and takes it a moment later."""

    def claim(self, pipeline: str) -> str:
        if self.holder(pipeline):
            return super().claim(pipeline)
        time.sleep(0.005)
        held = self._records.get(pipeline)
        if held:
            held.fence = None
        return super().claim(pipeline)


class _Remembers(MemoryStore):
    """Knows of every fence it ever gave out which pipeline it was for."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._given: dict[str, str] = {}

    def claim(self, pipeline: str) -> str:
        fence = super().claim(pipeline)
        self._given[fence] = pipeline
        return fence


class IgnoresTheFence(_Remembers):
    """Writes with any fence that it ever gave out."""

    def _claimed(self, fence: str) -> Any:
        return self._records[self._given[fence]] if fence in self._given else super()._claimed(fence)


class LooksThenWrites(_Remembers):
    """Looks at the fence, and writes a moment later."""

    def save(self, fence: str, position: Position) -> None:
        with self._lock:
            record = self._claimed(fence)
        time.sleep(0.005)
        with self._lock:
            if record.position != position:
                record.position = position
                record.history.appendleft(Saved(position, time.time()))


class ReleasesForAnybody(_Remembers):
    """A release gives the claim back whoever has it now."""

    def release(self, fence: str) -> None:
        if fence in self._given:
            self._records[self._given[fence]].fence = None


class MixesPrefixes(MemoryStore):
    """Clears every pipeline whose name begins like the one to clear."""

    def clear(self, fence: str) -> None:
        name = next(name for name, record in self._records.items() if record is self._claimed(fence))
        for other, record in self._records.items():
            if other.startswith(name):
                record.position = record.note = None
                record.history.clear()


class LettersTwice(MemoryStore):
    """Takes the code for a part of a dead letter's identity."""

    def add_dead_letters(self, fence: str, letters: Sequence[DeadLetter]) -> None:
        marked = [attrs.evolve(each, stage=f"{each.stage}|{each.code}") for each in letters]
        super().add_dead_letters(fence, marked)

    def dead_letters(self, pipeline: str, limit: int = 100) -> Sequence[DeadLetter]:
        found = super().dead_letters(pipeline, limit)
        return [attrs.evolve(each, stage=each.stage.partition("|")[0]) for each in found]


class DropsLetters(MemoryStore):
    """Leaves out in silence what finds no room."""

    def add_dead_letters(self, fence: str, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            try:
                super().add_dead_letters(fence, [letter])
            except StateError as error:
                if "limit" not in error.facts:
                    raise


class ClearsLetters(MemoryStore):
    """Forgets the dead letters too."""

    def clear(self, fence: str) -> None:
        super().clear(fence)
        self._claimed(fence).letters.clear()


class CountsInFloats(MemoryStore):
    """Keeps the number of a position as a float."""

    def load(self, pipeline: str) -> Position | None:
        found = super().load(pipeline)
        return found and attrs.evolve(found, n=int(float(found.n)))


class TellsMilliseconds(MemoryStore):
    """Gives the times of its history in milliseconds."""

    def history(self, pipeline: str, limit: int = 100) -> Sequence[Saved]:
        return [Saved(each.position, each.at * 1000) for each in super().history(pipeline, limit)]


class LeavesItsTrial(MemoryStore):
    """Leaves what it wrote to check."""

    def check(self) -> None:
        self.release(self.claim("trial"))


class OfOneThread(MemoryStore):
    """Saves from the thread that made it only."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._maker = threading.get_ident()

    def save(self, fence: str, position: Position) -> None:
        if threading.get_ident() == self._maker:
            super().save(fence, position)


class RaisesItsOwn(MemoryStore):
    """Knows the fence to be lost, and raises no error of ours."""

    def _claimed(self, fence: str) -> Any:
        return {record.fence: record for record in self._records.values()}[fence]


class Unreachable(MemoryStore):
    """Cannot be used: its driver's error comes out as it is, or one of ours that helps nobody."""

    def check(self) -> None:
        if self._config.history == 1:
            raise OSError("no such host")

    def claim(self, pipeline: str) -> str:
        raise StateError("cannot be reached", "start it" if self._config.history == 1 else None)


# In a file


class Quick(SqliteStore):
    """Right, and a claim that is taken is refused at once."""

    def _take_lock(self, pipeline: str) -> FileLock:
        lock = FileLock(self._lock_path(pipeline))
        lock.path.parent.mkdir(parents=True, exist_ok=True)
        if not lock.acquire("somebody"):
            raise StateError("another run holds this pipeline", holder=lock.note())
        return lock


class ForgetsOnClose(Quick):
    """Empties the record when it is closed."""

    def close(self) -> None:
        with self._database.transaction() as connection:
            connection.execute("UPDATE pipelines SET position = NULL")
        super().close()


class WritesBehind(Quick):
    """Keeps the last two saves of this process in memory, and writes each with the next but one."""

    _behind: ClassVar[dict[tuple[Path, str], list[Position]]] = {}

    def save(self, fence: str, position: Position) -> None:
        waiting = self._behind.setdefault(self._key(fence), [])
        if position not in waiting[-1:]:
            waiting.append(position)
        if len(waiting) > 2:
            super().save(fence, waiting.pop(0))

    def load(self, pipeline: str) -> Position | None:
        waiting = self._behind.get((self._database.path, pipeline))
        return waiting[-1] if waiting else super().load(pipeline)

    def history(self, pipeline: str, limit: int = 100) -> Sequence[Saved]:
        waiting = self._behind.get((self._database.path, pipeline), [])
        found = [Saved(each, time.time()) for each in reversed(waiting)]
        found += super().history(pipeline, limit)
        return found[: min(limit, self._config.history)]

    def clear(self, fence: str) -> None:
        self._behind.pop(self._key(fence), None)
        super().clear(fence)

    def _key(self, fence: str) -> tuple[Path, str]:
        with self._database.transaction() as connection:
            row = connection.execute("SELECT name FROM pipelines WHERE fence = ?", (fence,)).fetchone()
        if row is None:
            raise StateError("the claim of this run is lost")
        return self._database.path, row[0]


class LocksItsOwnProcess(Quick):
    """Its lock is seen by its own process only."""

    def _lock_path(self, pipeline: str) -> Path:
        path = super()._lock_path(pipeline)
        return path.with_name(f"{os.getpid()}-{path.name}")


class HoldsForTheDead(Quick):
    """A claim is a mark in a file, which nobody takes away when its holder is killed."""

    def _take_lock(self, pipeline: str) -> FileLock:
        lock = super()._take_lock(pipeline)
        mark = lock.path.with_suffix(".mark")
        if mark.exists():
            lock.release()
            raise StateError("another run holds this pipeline", holder="somebody")
        mark.touch()
        return lock

    def release(self, fence: str) -> None:
        lock = self._locks.get(fence)
        super().release(fence)
        if lock:
            lock.path.with_suffix(".mark").unlink(missing_ok=True)

    def close(self) -> None:
        for fence in list(self._locks):
            self.release(fence)
        super().close()


class NeverRenews(SqliteStore):
    """A claim is a lease in a file, which nobody makes any longer while the holder lives."""

    _lease = 1.0

    def _lock_path(self, pipeline: str) -> Path:
        path = super()._lock_path(pipeline)
        return path.with_name(f"{uuid.uuid4().hex}-{path.name}")  # the lock excludes nobody

    def claim(self, pipeline: str) -> str:
        if self.holder(pipeline):
            raise StateError("another run holds this pipeline", holder="somebody")
        fence = super().claim(pipeline)
        self._file(pipeline).write_text(f"{time.time() + self._lease} {fence}")
        return fence

    def holder(self, pipeline: str) -> str | None:
        file = self._file(pipeline)
        until = file.read_text().split()[0] if file.exists() else 0
        return "somebody" if float(until) > time.time() else None

    def release(self, fence: str) -> None:
        super().release(fence)
        for file in self._database.path.parent.glob("*.lease"):
            if file.read_text().endswith(fence):
                file.unlink()

    def close(self) -> None:
        for fence in list(self._locks):
            self.release(fence)
        super().close()

    def _file(self, pipeline: str) -> Path:
        return self._database.path.parent / f"{pipeline}.lease"
