"""The clauses of a state store about kills: what was acknowledged is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from etl_core.engine.failpoints import hit
from etl_core.interfaces import StateStore
from etl_core.model import Position
from etl_core.testing.child import Child, say
from etl_core.testing.children import connector_of, run_part, spec_of
from etl_core.testing.state.base import StateClauses, letter, position
from etl_core.testing.verdicts import expect

__all__ = ["DurableClauses"]

#: Large enough that a write of it can be torn.
_SIZE = 20_000


def save_three(spec: Mapping[str, Any]) -> None:
    """Add dead letters and save, three times; the kill comes right after a save."""
    store: StateStore = connector_of(spec)
    name = spec["pipeline"]
    fence = store.claim(name)
    for n in (1, 2, 3):
        store.add_dead_letters(fence, [letter(name, n)])
        store.save(fence, position(n))
        hit("after_save")


def save_on(spec: Mapping[str, Any]) -> None:
    """Save without end, and say each save that succeeded."""
    store: StateStore = connector_of(spec)
    fence = store.claim(spec["pipeline"])
    n = 0
    while True:
        n += 1
        store.save(fence, _large(n))
        say(n)


def _large(n: int) -> Position:
    return position(n, f"{n} " * (_SIZE // (len(str(n)) + 1)))


class DurableClauses(StateClauses):
    """What was acknowledged survives."""

    def test_the_record_outlives_the_object(self) -> None:
        """After `close` a new object finds positions, history and dead letters as they were.

        Nothing of the record may be in the object alone; a store that is gone with it sets `shared = False`.
        """
        self.only_shared()
        name = self.pipeline()
        with self.store() as store:
            fence = store.claim(name)
            store.save(fence, position(1))
            store.add_dead_letters(fence, [letter(name)])
            store.release(fence)
        with self.store() as store:
            expect(store.load(name) == position(1), "the position is gone with the object")
            expect(len(store.history(name)) == 1, "the history is gone with the object")
            expect(list(store.dead_letters(name)) == [letter(name)], "dead letters are gone with the object")

    def test_a_save_survives_a_kill(self) -> None:
        """What `save` and `add_dead_letters` returned from is there when the process is killed right after.

        Commit, and wait until the system or the server has it on disk, before they return.
        """
        self.only_shared()
        name = self.pipeline()
        run_part(save_three, spec_of(self) | {"pipeline": name}, kill_at="after_save:3")
        with self.store() as store:
            found = store.load(name)
            n = found.n if found else None
            expect(found == position(3), "a save that had returned is lost", saved=3, found=n)
            kept = list(store.dead_letters(name))
            expected = [letter(name, n) for n in (1, 2, 3)]
            expect(kept == expected, "dead letters that were added are lost", found=len(kept))

    def test_a_kill_amid_saves_leaves_a_whole_position(self) -> None:
        """Killed at any moment, it has the last position that was acknowledged, or the next, and whole.

        Replace the record in one step: a transaction, or a new file renamed over the old one.
        """
        self.only_shared()
        for turn in range(10 if self.thorough else 1):
            name = self.pipeline(f"-{turn}")
            with Child(save_on, spec_of(self) | {"pipeline": name}) as child:
                acknowledged = [int(child.next()) for _ in range(5 + turn)]
                child.kill()
                while (said := child.heard()) is not None:
                    acknowledged.append(int(said))
            with self.store() as store:
                found = store.load(name)
            last = acknowledged[-1]
            expect(found is not None, "no position is left", acknowledged=last)
            assert found is not None
            late = found.n in {last, last + 1}
            expect(late, "neither the last position nor the next", found=found.n, acknowledged=last)
            expect(found == _large(found.n), "the position is torn", n=found.n)
