"""Clauses about processes that die: what is there after the next run is what the script says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

from etl_core.engine.committing import is_pipelined
from etl_core.interfaces import Destination
from etl_core.model import Position, Rejected
from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore
from etl_core.testing.children import run_part, spec_of
from etl_core.testing.destination.dying import Calls, die_at
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.parts import kit_of
from etl_core.testing.destination.stories import long_story
from etl_core.testing.script import Script
from etl_core.testing.verdicts import not_reached, skip

__all__ = ["PLACES", "Kills"]

#: Places of `etl_core.engine.failpoints`, and the how-manieth time each is passed.
PLACES = {
    "snapshot": (1, 2, 3),
    "handover": (1,),
    "stream": (2,),
    "after_write": (1, 3),
    "before_flush": (1, 2, 4),
    "after_flush": (1, 2, 3, 5),
    "after_save": (1, 4),
    "schema_change": (1,),
}


#: Which flush is watched, and what a run that dies in it is killed at.
_FLUSH = 4
_WITHIN = "within a flush"
_ALIVE = "the run came to its end before it was to be killed"


def run_to_the_end(argument: Mapping[str, Any]) -> None:
    """Run a pipeline whose state is in a file; be killed on the way, within a flush where `place` says so."""
    kit = kit_of(argument["spec"])
    kit.state = SqliteStore(SqliteConfig(path=Path(argument["state"])))
    script = long_story(kit.stream(argument["stream"]), kit.columns)
    place, destination = argument.get("place"), kit.make()
    if place is not None:
        _watch(destination, die_at(place))
    kit.run(script, argument["loader"], destination=destination, max_rows=2)


def _watch(destination: Destination, calls: Calls) -> None:
    """Have one flush of a destination watched."""
    flush, numbers = destination.flush, count(1)

    def watched(position: Position) -> Sequence[Rejected] | None:
        if next(numbers) != _FLUSH:
            return flush(position)
        rejected: Sequence[Rejected] | None = calls.within(flush, position)
        return rejected

    destination.flush = watched  # type: ignore[method-assign]


class Kills(DestinationKit):
    """SIGKILL, then the next run."""

    #: Where a run is killed under `thorough`.
    places: ClassVar[Mapping[str, Sequence[int]]] = PLACES

    def test_killed_between_a_write_and_its_flush(self) -> None:
        """A run that is killed after a write is made up for by the next.

        What is not flushed is read again: let nothing of it count twice.
        """
        self._kill(self.following()[-1], "after_write:2")

    def test_killed_between_a_flush_and_the_save(self) -> None:
        """A run that is killed after a flush, before its position is saved, is made up for by the next.

        Keep the position with the data, or skip what is at or below the high-water mark; else say
        AT_LEAST_ONCE, and keep `_etl_seq`.
        """
        # Marks that become durable together are flushed once: there may be no fourth time.
        self._kill(self.following()[0], "after_flush:1" if is_pipelined(self.probe) else "after_flush:4")

    def test_killed_within_a_flush(self) -> None:
        """A run that is killed within `flush` is made up for by the next: all of it is durable, or nothing.

        Commit the rows, the position or marks, and whatever else tells what is there, in one transaction.
        """
        if is_pipelined(self.probe):
            skip("it has `mark`: what becomes durable does so beside `flush`")
        for loader in self.following() if self.thorough else self.following()[:1]:
            calls = Calls()
            destination = self.make()
            _watch(destination, calls)
            self.run(self._told(loader, "alive"), loader, destination=destination, max_rows=2)
            places = calls.last if self.thorough else _some(calls.last)
            if not places:
                skip("its flush calls nothing that can be seen")
            killed = [self._killed(loader, f"flush_{n}", place) for n, place in enumerate(places)]
            if not any(killed):
                not_reached(_ALIVE, flushes_watched=_FLUSH, places=len(places))

    def test_killed_within_a_snapshot(self) -> None:
        """A run that is killed within a snapshot is made up for by the next.

        Rows of the unfinished run are gone with its BEGIN, or go on where the position says.
        """
        self._kill(self.following()[0], "snapshot:2")

    def test_killed_anywhere(self) -> None:
        """A run that is killed at any of the engine's places is made up for by the next.

        See the page about delivery for what each place means.
        """
        if not self.thorough:
            skip("only where `thorough = True` is set: it takes a process for each of many places")
        killed = [
            self._killed(loader, f"{place}:{time}")
            for loader in self.following()
            for place, times in self.places.items()
            for time in times
        ]
        if not any(killed):
            not_reached(_ALIVE)

    def _kill(self, loader: str, place: str) -> None:
        if not self._killed(loader, place):
            not_reached(_ALIVE)

    def _killed(self, loader: str, name: str, within: str | None = None) -> bool:
        """Run until it dies, at a place of the engine or within a flush, and again; say whether it died."""
        script = self._told(loader, name.replace(":", "_"))
        path = self.directory / f"{script.stream.name}.db"
        self.state = SqliteStore(SqliteConfig(path=path))
        if not self.probe.keeps_position:
            self._begin(script)
        argument = {
            "spec": spec_of(self),
            "loader": loader,
            "stream": script.stream.name,
            "state": str(path),
            "place": within,
        }
        ended = run_part(run_to_the_end, argument, kill_at=_WITHIN if within else name)
        self.run(script, loader, max_rows=2)
        self.expect_outcome(script, loader, killed_at=within or name, loader=loader)
        self.state.close()
        return not ended

    def _told(self, loader: str, name: str) -> Script:
        return long_story(self.stream(f"{loader}_{name}"), self.columns)

    def _begin(self, script: Script) -> None:
        """Save a position at the beginning, so that both runs are of one epoch."""
        fence = self.state.claim(self.named(script))
        self.state.save(fence, Position(1, 0, None))
        self.state.release(fence)


def _some(places: Sequence[str]) -> list[str]:
    """Return three of the later half: its first, middle and last. Commits come late."""
    later = places[len(places) // 2 :]
    chosen = {0, len(later) // 2, len(later) - 1} if later else set()
    return [later[number] for number in sorted(chosen)]
