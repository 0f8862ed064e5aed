"""Wrong state stores, each caught by the clause meant for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from etl_core.hookspecs import Registration
from etl_core.state.config import MemoryConfig, SqliteConfig
from etl_core.testing.children import spec_of
from etl_core.testing.clauses import FIRST, clauses_of, run
from etl_core.testing.common import CommonClauses
from etl_core.testing.state import StateStoreConformance
from etl_core.testing.state import durable as state_durable
from etl_core.testing.verdicts import Verdict


def kit_of(fault: str, settings: type[Any] = MemoryConfig) -> type[StateStoreConformance]:
    class Kit(StateStoreConformance):
        registration = Registration("planted", settings, f"support.planted.states:{fault}", "Planted.")
        shared = settings is SqliteConfig
        lease = 0.2
        history_setting = "history"
        letters_setting = "dead_letters"

        def config(self) -> Mapping[str, Any]:
            return {"path": str(self.directory / "state.db")} if self.shared else {}

        def broken_config(self) -> Mapping[str, Any] | None:
            return None

    return Kit


def broken(kit: type[StateStoreConformance]) -> set[str]:
    """Run the clauses about state stores; return those that fail. None may be left untried."""
    common = {each.name for each in clauses_of(CommonClauses)} - {FIRST}
    outcomes = list(run(kit, only={each.name for each in clauses_of(kit)} - common))
    assert not [each for each in outcomes if each.verdict is Verdict.NOT_REACHED]
    return {each.clause.name for each in outcomes if each.verdict is Verdict.FAIL}


#: What a fault breaks besides: a save that comes too late is one without a claim.
BESIDES = {"IgnoresTheFence": {"a_save_amid_the_loss_of_its_claim_changes_nothing"}}


@pytest.mark.parametrize(
    ("fault", "clause"),
    [
        ("TakesInTwoSteps", "of_many_threads_one_gets_the_claim"),
        ("IgnoresTheFence", "a_lost_fence_changes_nothing"),
        ("LooksThenWrites", "a_save_amid_the_loss_of_its_claim_changes_nothing"),
        ("ReleasesForAnybody", "a_release_may_be_repeated"),
        ("MixesPrefixes", "pipelines_do_not_mix"),
        ("LettersTwice", "dead_letters_are_kept_once"),
        ("DropsLetters", "a_full_store_refuses_dead_letters"),
        ("ClearsLetters", "clear_keeps_dead_letters"),
        ("CountsInFloats", "a_position_is_loaded_as_it_was_saved"),
        ("TellsMilliseconds", "history_is_newest_first"),
        ("LeavesItsTrial", "check_leaves_nothing"),
        ("OfOneThread", "any_thread_may_call"),
    ],
)
def test_a_fault_within_one_object_is_caught(fault: str, clause: str) -> None:
    assert broken(kit_of(fault)) - BESIDES.get(fault, set()) == {clause}


@pytest.mark.parametrize(
    ("fault", "clauses"),
    [
        ("Quick", set()),
        pytest.param("ForgetsOnClose", {"the_record_outlives_the_object"}, marks=pytest.mark.slow),
        # What a process keeps for itself no other one sees, neither while it lives nor after its death.
        (
            "WritesBehind",
            {
                "a_save_survives_a_kill",
                "a_kill_amid_saves_leaves_a_whole_position",
                "a_claim_excludes_other_processes",
                "a_claim_dies_with_its_holder",
            },
        ),
        # A race is lost by those who do not even see a claim that is there.
        (
            "LocksItsOwnProcess",
            {"a_claim_excludes_other_processes", "of_many_processes_one_gets_the_claim"},
        ),
        pytest.param("HoldsForTheDead", {"a_claim_dies_with_its_holder"}, marks=pytest.mark.slow),
    ],
)
def test_a_fault_between_processes_is_caught(fault: str, clauses: set[str]) -> None:
    assert broken(kit_of(fault, SqliteConfig)) == clauses


def test_a_lease_that_nobody_renews_is_caught() -> None:
    kit = kit_of("NeverRenews", SqliteConfig)
    kit.lease = 3.0
    (outcome,) = run(kit, only=["a_claim_dies_with_its_holder"])
    assert outcome.verdict is Verdict.FAIL
    assert "a claim whose holder lives" in outcome.reason


def test_settings_that_are_not_named_are_asked_for_unless_there_are_none() -> None:
    about = {
        "history_is_bounded": "history_setting",
        "a_full_store_refuses_dead_letters": "letters_setting",
        "a_store_that_cannot_be_used_says_so": "broken_config",
    }

    class Plain(StateStoreConformance):
        registration = Registration("planted", MemoryConfig, "support.planted.states:MemoryStore", "Planted.")
        shared = False

    class Told(Plain):
        history_setting = letters_setting = None

        def broken_config(self) -> None:
            return None

    class Bare(Plain):
        registration = Registration("planted", None, "support.planted.states:MemoryStore", "Planted.")

    for kit, verdict in ((Plain, Verdict.NOT_REACHED), (Told, Verdict.SKIP), (Bare, Verdict.SKIP)):
        outcomes = {each.clause.name: each for each in run(kit, only=about)}
        assert {each.verdict for each in outcomes.values()} == {verdict}
        if kit is not Bare:
            assert all(f"`{setting}`" in outcomes[name].reason for name, setting in about.items())


def test_an_error_that_is_not_ours_is_caught() -> None:
    outcomes = {each.clause.name: each for each in run(kit_of("RaisesItsOwn"))}
    told = outcomes["a_lost_fence_changes_nothing"]
    assert told.verdict is Verdict.FAIL
    assert told.reason == "refused, but not with a StateError (call=a save with a lost fence, error=KeyError)"


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        (1, "an error is not one of etl_core.errors (call=check, error=OSError)"),
        (2, "a store that cannot be used raised nothing (call=check)"),
    ],
)
def test_a_store_that_does_not_say_that_it_cannot_work_is_caught(history: int, reason: str) -> None:
    kit = kit_of("Unreachable")
    kit.broken_config = lambda self: {"history": history}  # type: ignore[method-assign]
    (outcome,) = run(kit, only=["a_store_that_cannot_be_used_says_so"])
    assert (outcome.verdict, outcome.reason) == (Verdict.FAIL, reason)


def test_the_parts_that_are_killed_do_what_they_are_killed_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is killed tells nobody which of its lines it ran."""
    kit = kit_of("Quick", SqliteConfig)()
    kit.directory, kit.namespace = tmp_path, "conformance_1"
    said: list[object] = []

    def hear(said_now: object) -> None:
        said.append(said_now)
        if len(said) == 3:
            raise InterruptedError

    monkeypatch.setattr(state_durable, "say", hear)
    spec = spec_of(kit)
    state_durable.save_three(spec | {"pipeline": "a"})
    with pytest.raises(InterruptedError):
        state_durable.save_on(spec | {"pipeline": "b"})
    with kit.store() as store:
        numbers = [[each.position.n for each in store.history(name)] for name in ("a", "b")]
        assert numbers == [[3, 2, 1], said[::-1]]
        assert len(store.dead_letters("a")) == 3
