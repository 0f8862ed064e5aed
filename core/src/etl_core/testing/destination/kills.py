"""Clauses about processes that die: what is there after the next run is what the script says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from etl_core.model import Position
from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore
from etl_core.testing.children import run_part, spec_of
from etl_core.testing.destination.kit import DestinationKit
from etl_core.testing.destination.parts import kit_of
from etl_core.testing.destination.stories import long_story
from etl_core.testing.script import Script
from etl_core.testing.verdicts import expect, skip

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


def run_to_the_end(argument: Mapping[str, Any]) -> None:
    """Run a pipeline whose state is in a file; be killed on the way."""
    kit = kit_of(argument["spec"])
    kit.state = SqliteStore(SqliteConfig(path=Path(argument["state"])))
    script = long_story(kit.stream(argument["stream"]), kit.columns)
    kit.run(script, argument["loader"], max_rows=2)


class Kills(DestinationKit):
    """SIGKILL, then the next run."""

    #: Where a run is killed under `thorough`.
    places: ClassVar[Mapping[str, Sequence[int]]] = PLACES

    def test_killed_between_a_write_and_its_flush(self) -> None:
        """A run that is killed after a write is made up for by the next.

        What is not flushed is read again: let nothing of it count twice.
        """
        self._killed(self.following()[-1], "after_write", 2)

    def test_killed_between_a_flush_and_the_save(self) -> None:
        """A run that is killed after a flush, before its position is saved, is made up for by the next.

        Keep the position with the data, or skip what is at or below the high-water mark; else say
        AT_LEAST_ONCE, and keep `_etl_seq`.
        """
        self._killed(self.following()[0], "after_flush", 4)

    def test_killed_within_a_snapshot(self) -> None:
        """A run that is killed within a snapshot is made up for by the next.

        Rows of the unfinished run are gone with its BEGIN, or go on where the position says.
        """
        self._killed(self.following()[0], "snapshot", 2)

    def test_killed_anywhere(self) -> None:
        """A run that is killed at any of the engine's places is made up for by the next.

        See the page about delivery for what each place means.
        """
        if not self.thorough:
            skip("only where `thorough = True` is set: it takes a process for each of many places")
        for loader in self.following():
            for place, times in self.places.items():
                for time in times:
                    self._killed(loader, place, time)

    def _killed(self, loader: str, place: str, time: int) -> None:
        script = long_story(self.stream(f"{loader}_{place}_{time}"), self.columns)
        path = self.directory / f"{script.stream.name}.db"
        self.state = SqliteStore(SqliteConfig(path=path))
        if not self.probe.keeps_position:
            self._begin(script)
        argument = {
            "spec": spec_of(self),
            "loader": loader,
            "stream": script.stream.name,
            "state": str(path),
        }
        ended = run_part(run_to_the_end, argument, kill_at=f"{place}:{time}")
        expect(self.thorough or not ended, "the run came to its end before it was to be killed")
        self.run(script, loader, max_rows=2)
        self.expect_outcome(script, loader, killed_at=f"{place}:{time}", loader=loader)
        self.state.close()

    def _begin(self, script: Script) -> None:
        """Save a position at the beginning, so that both runs are of one epoch."""
        fence = self.state.claim(self.named(script))
        self.state.save(fence, Position(1, 0, None))
        self.state.release(fence)
