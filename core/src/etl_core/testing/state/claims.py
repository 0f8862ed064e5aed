"""The clauses of a state store about claims: who runs a pipeline."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from etl_core.errors import StateError
from etl_core.interfaces import StateStore
from etl_core.testing.child import Child
from etl_core.testing.children import spec_of
from etl_core.testing.state.base import StateClauses, letter, position
from etl_core.testing.state.parts import hold, race, tried
from etl_core.testing.verdicts import expect

__all__ = ["ClaimClauses"]


class ClaimClauses(StateClauses):
    """One running copy per pipeline."""

    def test_a_claim_is_exclusive(self) -> None:
        """While a pipeline is claimed nobody else gets it; the loser is told who holds it.

        Take a lock or a lease in `claim`, and raise StateError with the fact `holder` when it is taken.
        """
        name = self.pipeline()
        with self.store() as store, self.another(store) as other:
            expect(other.holder(name) is None, "a pipeline that nobody claimed has a holder")
            fence = store.claim(name)
            for each in (store, other):
                error = self.refused(each.claim, name, what="a second claim")
                expect(error.facts.get("holder"), "the error of a second claim does not say who holds it")
                expect(each.holder(name), "`holder` says nobody while the pipeline is claimed")
            store.save(fence, position(1))
            store.release(fence)
            expect(other.holder(name) is None, "a released claim has a holder")
            other.release(other.claim(name))

    def test_a_claim_excludes_other_processes(self) -> None:
        """A pipeline claimed in one process cannot be claimed in another until it is released.

        A lock of the process's own is not enough: take one of the system's, or of the server's.
        """
        self.only_shared()
        name = self.pipeline()
        with self.store() as store, Child(hold, spec_of(self) | {"pipeline": name}) as child:
            child.next()
            self.refused(store.claim, name, what="a claim that another process holds")
            expect(store.holder(name), "`holder` does not see a claim of another process")
            expect(store.load(name) == position(1), "what another process saved is not loaded")
            child.tell()
            child.next()
            expect(child.ended(self.grace) == 0, "a process that released its claim did not end")
            store.release(store.claim(name))

    def test_a_claim_dies_with_its_holder(self) -> None:
        """A claim is held as long as its holder lives, and after its death not longer than the lease.

        Use a lock that the system frees, or a lease that is renewed. A longer lease: set `lease`.
        """
        self.only_shared()
        name, alive = self.pipeline(), self.pipeline("-alive")
        with self.store() as store, self.store() as other:
            older = store.claim(alive)
            with Child(hold, spec_of(self) | {"pipeline": name}) as child:
                dead = child.next()
                child.kill()
                fence = self.claimed(store, name)
            self.refused(other.claim, alive, what="a claim whose holder lives, after the lease of another")
            store.save(older, position(1))
            self.refused(store.save, dead, position(2), what="a save with the fence of a killed process")
            expect(store.load(name) == position(1), "the position of a killed process is lost")
            store.save(fence, position(2))

    def test_of_many_threads_one_gets_the_claim(self) -> None:
        """Of threads that claim one pipeline at the same moment exactly one gets it.

        Look and take in one step: under a lock, in one statement, or by compare-and-set.
        """
        rounds = 20 if self.thorough else 2
        with ExitStack() as closing, ThreadPoolExecutor(6) as pool:
            first = closing.enter_context(self.store())
            others = [closing.enter_context(self.another(first)) for _ in range(2)]
            stores = [first, *others] * 2
            for _ in range(rounds):
                start = threading.Barrier(len(stores))
                tries = [pool.submit(self._race, each, start) for each in stores]
                fences = [each.result() for each in tries]
                won = [(store, fence) for store, fence in zip(stores, fences, strict=True) if fence]
                expect(len(won) == 1, "of threads that claimed at once not exactly one won", won=len(won))
                won[0][0].release(won[0][1])

    def _race(self, store: StateStore, start: threading.Barrier) -> str | None:
        start.wait()
        return tried(store, self.pipeline())

    def test_of_many_processes_one_gets_the_claim(self) -> None:
        """Of processes that claim one pipeline at the same moment exactly one gets it.

        Look and take in one step: in one statement or transaction of the server, or under a system's lock.
        """
        self.only_shared()
        rounds = 20 if self.thorough else 2
        spec = spec_of(self) | {"pipeline": self.pipeline(), "rounds": rounds}
        with ExitStack() as closing:
            children = [closing.enter_context(Child(race, spec)) for _ in range(3 if self.thorough else 2)]
            for _ in range(rounds):
                for child in children:
                    child.next()
                for child in children:
                    child.tell()
                won = [child.next() for child in children].count("won")
                expect(won == 1, "of processes that claimed at once not exactly one won", won=won)
                for child in children:
                    child.tell()
            ended = [child.ended(self.grace) for child in children]
            expect(ended == [0] * len(children), "a process that claimed did not end well", exit_codes=ended)

    def test_every_claim_has_a_fence_of_its_own(self) -> None:
        """No two claims have the same fence, and one that was never given out opens nothing.

        Make a random one in each `claim`; keep it with the record and require it in every write.
        """
        names = [self.pipeline(), self.pipeline("-other")]
        with self.store() as store:
            fences = []
            for name in names * 4:
                fences.append(store.claim(name))
                store.release(fences[-1])
            expect(all(fences), "a fence is empty")
            expect(len(set(fences)) == len(fences), "two claims have the same fence")
            store.claim(names[0])
            for made_up in ("", "no such fence", names[0]):
                self.refused(store.save, made_up, position(1), what="a save with a fence never given out")
                store.release(made_up)

    def test_a_lost_fence_changes_nothing(self) -> None:
        """Who lost the claim can no longer save, clear, note or add dead letters: StateError.

        Require in the same step as the write that the fence is still the one of the last claim.
        """
        name = self.pipeline()
        with self.store() as store, self.another(store) as other:
            lost = store.claim(name)
            store.save(lost, position(1))
            store.release(lost)
            fence = other.claim(name)
            other.note(fence, {"at": 2.5})
            noted = other.noted(name)
            self.refused(store.save, lost, position(2), what="a save with a lost fence")
            self.refused(store.save, lost, position(1), what="a repeated save with a lost fence")
            self.refused(store.clear, lost, what="a clear with a lost fence")
            lines = [letter(name)]
            self.refused(store.add_dead_letters, lost, lines, what="adding dead letters with a lost fence")
            if noted is not None:
                self.refused(store.note, lost, {"at": 3.5}, what="a note with a lost fence")
            found = (other.load(name), list(other.dead_letters(name)), other.noted(name))
            expect(found == (position(1), [], noted), "a lost fence changed the record")

    def test_a_save_amid_the_loss_of_its_claim_changes_nothing(self) -> None:
        """When a claim is lost while a save is under way, nothing of it is seen once another has the claim.

        Look at the fence and write in one transaction or statement; two steps leave room for the other's.
        """
        for turn in range(50 if self.thorough else 5):
            name = self.pipeline(f"-{turn}")
            with self.store() as store, self.another(store) as other, ThreadPoolExecutor(1) as pool:
                lost = store.claim(name)
                store.save(lost, position(1))
                amid, taken = threading.Event(), threading.Event()
                saving = pool.submit(_save_on, store, lost, amid, taken)
                try:
                    amid.wait(self.grace)
                    taken.wait(turn / 500)  # another place within a save each time
                    store.release(lost)
                    fence = other.claim(name)
                    found = other.load(name)
                finally:
                    taken.set()
                saving.result()
                expect(other.load(name) == found, "a save came after another had taken the claim")
                other.save(fence, position(1))

    def test_a_release_may_be_repeated(self) -> None:
        """Releasing twice, or a claim that somebody else has taken since, is harmless.

        Remove the claim only where the fence is the one given.
        """
        name = self.pipeline()
        with self.store() as store, self.another(store) as other:
            lost = store.claim(name)
            store.release(lost)
            store.release(lost)
            fence = other.claim(name)
            store.release(lost)
            expect(other.holder(name), "releasing a lost fence released the claim of another")
            other.save(fence, position(1))

    def test_close_gives_claims_back(self) -> None:
        """After `close` what the object held can be claimed by others, at the latest with the lease.

        Release locks and stop renewing leases in `close`.
        """
        self.only_shared()
        name = self.pipeline()
        with self.store() as other:
            with self.store() as store:
                store.claim(name)
            self.claimed(other, name)


def _save_on(store: StateStore, fence: str, amid: threading.Event, taken: threading.Event) -> None:
    """Save one position after another until that is refused, and once more when the claim was taken."""
    for n in itertools.count(2):
        late = taken.wait(0.001)
        if n > 2:
            amid.set()
        try:
            store.save(fence, position(n))
        except StateError:
            return
        if late:
            return
