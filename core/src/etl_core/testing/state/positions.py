"""The clauses of a state store about positions and their history."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from etl_core.interfaces import StateStore
from etl_core.model import Position, Stream
from etl_core.testing.state.base import STREAM, StateClauses, letter, position
from etl_core.testing.verdicts import expect

__all__ = ["PositionClauses"]

#: How far the clock of a server may be from ours, in seconds.
_CLOCKS = 600.0

_VALUES: dict[str, Any] = {
    "null": None,
    "numbers": [0, -1, 0.1, 1e300, 2**53 + 1, 2**64 - 1],
    "texts": ["", "ünï\U0001f600", "a\x00b", "\\\"'\n\t", "NULL", "1"],
    "nested": {"": {"b": [[], {}, [None, True, False]], "a": "1", "1": 1}},
    "list": [1, [2, [3]]],
    "one MiB": "x" * (1 << 20),
}


class PositionClauses(StateClauses):
    """What was saved is what is loaded."""

    def test_a_position_is_loaded_as_it_was_saved(self) -> None:
        """Every field of a position comes back equal, with any JSON value, through another object.

        Store `position.to_json()` as JSON text and load it with `Position.from_json`.
        """
        saved = [Position(2**32 - 1, 2**53 + 1, 5, complete=False, snapshots=(STREAM, Stream("", "t")))]
        with self.store() as store, self.another(store) as other:
            name = self.pipeline()
            fence = store.claim(name)
            for each in (*saved, *(Position(7, n, _VALUES[key]) for n, key in enumerate(_VALUES))):
                store.save(fence, each)
                self._expect_loaded((store, other), name, each)

    def _expect_loaded(self, stores: Iterable[StateStore], name: str, saved: Position) -> None:
        value = next((key for key, found in _VALUES.items() if found == saved.value), "small")
        for each in stores:
            found = each.load(name)
            equal = found is not None and found.to_json() == saved.to_json()
            expect(equal, "a position is not loaded as it was saved", value=value)
            newest = each.history(name, 1)
            expect(newest and newest[0].position == saved, "the history has it otherwise", value=value)

    def test_saving_what_is_stored_succeeds(self) -> None:
        """Saving a position again is no error and changes nothing.

        A save whose answer was lost is repeated: compare with the fence, not with the position.
        """
        name = self.pipeline()
        with self.store() as store:
            fence = store.claim(name)
            for n in (1, 1, 2, 2, 2):
                store.save(fence, position(n))
                expect(store.load(name) == position(n), "a repeated save changed the position", n=n)

    def test_history_is_newest_first(self) -> None:
        """The history has the saved positions, the newest first, with the times of their saves.

        Order by the order of saves, not by time; give Unix seconds; honour `limit`.
        """
        name = self.pipeline()
        began = time.time()
        with self.store() as store, self.another(store) as other:
            fence = store.claim(name)
            for n in (1, 2, 3, 5, 4):  # a reset or a restore goes back
                store.save(fence, position(n))
            found = other.history(name)
            told = [each.position.n for each in found]
            expect(told == [4, 5, 3, 2, 1][: len(told)], "the history is not newest first", found=told)
            expect(len(found) > 1, "there is no history before the last save")
            for each in found:
                late = time.time() + _CLOCKS
                expect(began - _CLOCKS < each.at < late, "a save's time is not that of the save in seconds")
            limited = [each.position.n for each in other.history(name, 2)]
            expect(limited == [4, 5], "the history does not honour `limit`", found=limited)

    def test_history_is_bounded(self) -> None:
        """No more saved positions are kept than its setting says, of each pipeline by itself.

        Delete with each save what is beyond the bound, of that pipeline only.
        """
        if self.history_setting is None:
            self.left_out("history_setting", "the setting that bounds its history")
        names = [self.pipeline(), self.pipeline("-other")]
        with self.store(**{self.history_setting: 3}) as store:
            fences = [store.claim(name) for name in names]
            store.save(fences[1], position(1))
            for n in range(8):
                store.save(fences[0], position(n))
            kept = [[each.position.n for each in store.history(name)] for name in names]
            expect(kept == [[7, 6, 5], [1]], "the history is not bounded as its setting says", found=kept)

    def test_pipelines_do_not_mix(self) -> None:
        """Pipelines whose names differ by little have records of their own.

        Compare whole names, with their capitals; quote them where they become part of a path or pattern.
        """
        base = self.pipeline()
        names = [base, base + ".", base + "-a", base + "_a", base + ".a", base.upper(), base[:-1]]
        names += [base + "_" * (64 - len(base)), "." + base]
        with self.store() as store, self.another(store) as other:
            fences = {name: store.claim(name) for name in names}
            for n, name in enumerate(names):
                store.save(fences[name], position(n))
                store.add_dead_letters(fences[name], [letter(name, n)])
            for n, name in enumerate(names):
                expect(other.load(name) == position(n), "positions of two pipelines mix", place=n)
                histories = [each.position.n for each in other.history(name)]
                expect(histories == [n], "histories of two pipelines mix", place=n)
                expect(list(other.dead_letters(name)) == [letter(name, n)], "dead letters mix", place=n)
            expect(set(names) <= set(other.pipelines()), "a pipeline that saved a position is not listed")
            store.clear(fences[base])
            store.release(fences[base])
            rest = [(other.load(name), bool(other.holder(name))) for name in names[1:]]
            expected = [(position(n), True) for n in range(1, len(names))]
            expect(rest == expected, "clearing one pipeline and releasing it harmed another")

    def test_clear_keeps_dead_letters(self) -> None:
        """`clear` forgets position, history and note of the pipeline; its dead letters stay.

        Dead letters are rows that nobody else has: only people discard them.
        """
        name = self.pipeline()
        with self.store() as store, self.another(store) as other:
            fence = store.claim(name)
            store.save(fence, position(1))
            store.note(fence, {"at": 1.5})
            store.add_dead_letters(fence, [letter(name)])
            store.clear(fence)
            for each in (store, other):
                found = (each.load(name), list(each.history(name)), each.noted(name))
                expect(found == (None, [], None), "`clear` left position, history or note")
                expect(list(each.dead_letters(name)) == [letter(name)], "`clear` forgot dead letters")
            store.save(fence, position(1))
            expect(other.load(name) == position(1), "after `clear` nothing can be saved")
