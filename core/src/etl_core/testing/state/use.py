"""The clauses of a state store about trying it, asking it, notes, threads and objects side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from etl_core.errors import EtlError
from etl_core.interfaces import StateStore
from etl_core.testing.state.base import STREAM, StateClauses, position
from etl_core.testing.verdicts import expect, fail, skip

__all__ = ["UseClauses"]


class UseClauses(StateClauses):
    """It can be tried, asked and shared."""

    def test_check_leaves_nothing(self) -> None:
        """`check` writes and rolls back: no pipeline, position or claim is there after it.

        Roll the trial back, or delete it, also where it fails half-way.
        """
        name = self.pipeline()
        with self.store() as store:
            before = set(store.pipelines())
            store.check()
            expect(set(store.pipelines()) <= before, "`check` left a pipeline behind")
            fence = store.claim(name)
            store.save(fence, position(1))
            store.check()
            expect(store.load(name) == position(1), "`check` changed a position")
            store.save(fence, position(2))
            expect(not set(store.pipelines()) - before - {name}, "`check` left a pipeline behind")

    def test_it_knows_nothing_of_a_pipeline_that_never_ran(self) -> None:
        """Asked about a pipeline it has never heard of, it answers with nothing, without an error.

        Return None or an empty list; create tables and directories when something is first written.
        """
        name = self.pipeline()
        with self.store() as store:
            found = (store.load(name), store.holder(name), store.noted(name))
            listed = [*store.history(name), *store.dead_letters(name)]
            expect(found == (None, None, None), "something is known of a pipeline that never ran")
            expect(not listed, "a pipeline that never ran has history or dead letters")
            expect(name not in store.pipelines(), "a pipeline that was only asked about is listed")

    def test_a_note_is_the_last_one_given(self) -> None:
        """A note is shown as it was given, until the next; a store may also keep none.

        Keep it as JSON, in place of the one before. Keeping none: leave `note` and `noted` as they are.
        """
        name = self.pipeline()
        notes: list[dict[str, Any]] = [{"at": 1.5}, {"at": 2.5, "streams": {str(STREAM): {"rows": 2**40}}}]
        with self.store() as store, self.another(store) as other:
            fence = store.claim(name)
            for note in notes:
                store.note(fence, note)
                if store.noted(name) is None:
                    skip("it keeps no notes")
                expect(other.noted(name) == note, "a note is not shown as it was given")
            expect(other.noted(self.pipeline("-other")) is None, "another pipeline shows the note")
            store.release(fence)
            expect(other.noted(name) == notes[-1], "a note is gone with the claim")

    def test_notes_do_not_disturb_saves(self) -> None:
        """`note` may be called beside any other call for the same pipeline.

        Guard what both use; a note that cannot be written now may raise, a save has to succeed.
        """
        name = self.pipeline()
        with self.store() as store, ThreadPoolExecutor(1) as pool:
            fence = store.claim(name)
            noting = pool.submit(_note, store, fence)
            for n in range(20):
                store.save(fence, position(n))
                expect(store.load(name) == position(n), "a save beside a note is lost")
            noting.result()

    def test_any_thread_may_call(self) -> None:
        """Its methods may be called from any thread, and for several pipelines at the same time.

        Guard what the calls share, or give each thread a connection of its own.
        """
        names = [self.pipeline(f"-{n}") for n in range(4)]
        with self.store() as store:
            fences = [store.claim(name) for name in names]
            with ThreadPoolExecutor(len(names)) as pool:
                list(pool.map(_work, [store] * len(names), names, fences))
            found = [store.load(name) for name in names]
            expect(found == [position(9)] * len(names), "a save of one of several threads is lost")
            expect(not any(store.holder(name) for name in names), "a release from another thread is lost")

    def test_two_objects_work_side_by_side(self) -> None:
        """A second object opens while the first is in use, and both save, each its own pipelines.

        Keep no lock for as long as the store is open; one per claim is enough.
        """
        self.only_shared()
        names = [self.pipeline("-0"), self.pipeline("-1")]
        with self.store() as first, self.store() as second:
            pairs = list(zip((first, second), names, strict=True))
            fences = [store.claim(name) for store, name in pairs]
            for n in range(5):
                for (store, _), fence in zip(pairs, fences, strict=True):
                    store.save(fence, position(n))
            found = [store.load(name) for store in (first, second) for name in names]
            expect(found == [position(4)] * 4, "what one of two objects saved is lost")

    def test_a_store_that_cannot_be_used_says_so(self) -> None:
        """Where it cannot be reached or written, `check` and `claim` raise an error with a hint.

        Turn errors of drivers and files into those of `etl_core.errors`; say what to look at.
        """
        settings = self.broken_config()
        if settings is None:
            self.left_out("broken_config", "settings of a store that cannot be used")
        for call in ("check", "claim"):
            try:
                self._call(settings, call)
            except EtlError as error:
                expect(error.hint, "the error has no hint", call=call, error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 - which one is what to tell
                fail("an error is not one of etl_core.errors", call=call, error=type(error).__name__)
            else:
                fail("a store that cannot be used raised nothing", call=call)

    def _call(self, settings: Any, call: str) -> None:
        with self.store(**settings) as store:
            if call == "check":
                store.check()
            else:
                store.claim(self.pipeline())


def _note(store: StateStore, fence: str) -> None:
    for n in range(20):
        try:
            store.note(fence, {"at": float(n)})
        except EtlError:  # it need not be written now
            continue


def _work(store: StateStore, name: str, fence: str) -> None:
    for n in range(10):
        store.save(fence, position(n))
        store.load(name)
    store.release(fence)
