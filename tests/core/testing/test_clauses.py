"""Running clauses: their order, their verdicts, and what is told of an error."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from etl_core.config import Secret
from etl_core.errors import Cancelled, FatalError
from etl_core.hookspecs import Registration
from etl_core.testing.base import Conformance
from etl_core.testing.clauses import FIRST, UNUSABLE, Clause, clauses_of, run
from etl_core.testing.verdicts import Verdict, expect, fail, not_reached, skip


class Base(Conformance):
    registration = Registration("toy", None, "no.such:factory")
    section = "commands"
    ready = True

    def test_zeroth(self) -> None:
        """Comes after the first.

        Do this,
        then that.
        """

    def test_it_can_be_used(self) -> None:
        expect(self.ready, "it is of no use", fact=1)


class Kit(Base):
    def test_passes(self) -> None:
        expect(self.directory.is_dir(), "no directory")

    def test_fails(self) -> None:
        fail("a promise is broken", rows=3)

    def test_skips(self) -> None:
        skip("not claimed")

    def test_lacks(self) -> None:
        not_reached("give it more", setting="x")

    def test_raises_ours(self) -> None:
        raise FatalError("the system says no", table="t")

    def test_raises_theirs(self) -> None:
        raise ValueError("row 17 holds hunter2")

    def test_is_cancelled(self) -> None:
        raise Cancelled

    def test_exits(self) -> None:
        raise SystemExit(0)

    def test_zeroth(self) -> None:
        """Stands where it was first written."""

    test_of_no_use = None


EXPECTED = {
    FIRST: (Verdict.PASS, ""),
    "zeroth": (Verdict.PASS, ""),
    "passes": (Verdict.PASS, ""),
    "fails": (Verdict.FAIL, "a promise is broken (rows=3)"),
    "skips": (Verdict.SKIP, "not claimed"),
    "lacks": (Verdict.NOT_REACHED, "give it more (setting=x)"),
    "raises_ours": (Verdict.FAIL, "FatalError: the system says no (table=t)"),
    "raises_theirs": (Verdict.FAIL, "ValueError: its text is not shown: it may hold values"),
    "is_cancelled": (Verdict.FAIL, "Cancelled: its text is not shown: it may hold values"),
    "exits": (Verdict.FAIL, "SystemExit: its text is not shown: it may hold values"),
}


def test_each_clause_ends_with_its_verdict_in_the_order_of_the_text() -> None:
    outcomes = list(run(Kit))
    assert {each.clause.name: (each.verdict, each.reason) for each in outcomes} == EXPECTED
    assert [each.clause.name for each in outcomes] == list(EXPECTED)
    assert all(each.seconds >= 0 for each in outcomes)


def test_promise_and_advice_are_those_of_the_docstring() -> None:
    first, zeroth = clauses_of(Base)
    assert first == Clause(FIRST, "it can be used", "")
    assert zeroth == Clause("zeroth", "Comes after the first.", "Do this, then that.")


def test_what_cannot_be_used_is_not_tried_further() -> None:
    class Useless(Kit):
        ready = False

    first, *others = run(Useless)
    assert (first.verdict, first.reason) == (Verdict.FAIL, "it is of no use (fact=1)")
    assert {(each.verdict, each.reason) for each in others} == {(Verdict.NOT_REACHED, UNUSABLE)}
    assert len(others) == len(EXPECTED) - 1


def test_only_some_clauses_can_be_run_on_prepared_instances() -> None:
    began: list[str] = []
    seen: list[Any] = []
    outcomes = list(
        run(Kit, seen.append, only=["passes", "skips"], begin=lambda clause: began.append(clause.name))
    )
    assert [each.clause.name for each in outcomes] == began == ["passes", "skips"]
    assert len(set(map(id, seen))) == 2
    assert not any(each.directory.exists() for each in seen)


@pytest.mark.parametrize("place", ["prepare", "clean"])
def test_an_author_whose_preparation_fails_learns_it(place: str) -> None:
    def broken(self: Any) -> None:
        raise FatalError("the server does not start")

    kit = type("Broken", (Kit,), {place: broken})
    kits: list[Any] = []
    (outcome,) = run(kit, kits.append, only=["passes"])
    assert (outcome.verdict, outcome.reason) == (Verdict.FAIL, "FatalError: the server does not start")
    assert not kits[0].directory.exists()


@attrs.frozen
class Secretive:
    password: Secret


def test_a_secret_of_the_settings_is_not_told() -> None:
    class Telling(Base):
        registration = Registration("toy", Secretive, "no.such:factory")

        def config(self) -> dict[str, str]:
            return {"password": "hunter2-secret"}

        def test_tells(self) -> None:
            raise FatalError("cannot log in with hunter2-secret", cause="hunter2-secret")

    (outcome,) = run(Telling, only=["tells"])
    assert outcome.reason == "FatalError: cannot log in with *** (cause=***)"


def test_an_interrupt_ends_everything() -> None:
    class Interrupted(Base):
        def test_slow(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run(Interrupted))
