"""The kit for observers: right ones pass, each wrong one is caught by the clause meant for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.planted import observers as planted
from support.planted.observer_settings import LinesConfig

from etl_core.events import EVENTS
from etl_core.hookspecs import Registration
from etl_core.interfaces import Observer
from etl_core.testing.clauses import run
from etl_core.testing.observer import ObserverConformance
from etl_core.testing.observer.facts import FACTS
from etl_core.testing.verdicts import Verdict


class TestLines(ObserverConformance):
    """A right one, under pytest."""

    registration = Registration(
        "lines", LinesConfig, "support.planted.observers:Lines", "A line for each event."
    )

    def config(self) -> Mapping[str, Any]:
        return {"path": str(self.directory / "events.jsonl")}

    def broken_config(self) -> Mapping[str, Any] | None:
        return {"path": str(self.directory / "absent" / "events.jsonl")}


class Quick(TestLines):
    """Without the clauses that take a second, where they are not what is tried."""

    test_looking_at_it_is_light = None  # type: ignore[assignment]
    test_it_does_not_keep_events = None  # type: ignore[assignment]


def kit_of(observer: type[Observer], base: type[TestLines] = Quick) -> type[ObserverConformance]:
    registration = Registration("planted", LinesConfig, observer, "Planted.")
    return type(observer.__name__, (base,), {"registration": registration, "grace": 2.0})


def failing(kit: type[ObserverConformance], only: Collection[str] = ()) -> set[str]:
    return {outcome.clause.name for outcome in run(kit, only=only) if outcome.verdict is Verdict.FAIL}


def test_there_are_facts_for_every_event() -> None:
    assert FACTS.keys() == EVENTS.keys()
    for name, shapes in FACTS.items():
        words = EVENTS[name].replace(",", " ").replace("(", " ").replace(")", " ").split()
        assert all(fact in words for fact in shapes[0]), name


def test_one_that_asks_for_nothing_breaks_nothing() -> None:
    assert failing(kit_of(planted.Counts)) == set()


WRONG: dict[type[Observer], set[str]] = {
    planted.KnowsAllEvents: {"events_of_a_newer_core_are_taken"},
    planted.ExpectsEveryFact: {"every_event_is_taken"},
    planted.NeedsTheBeginning: {"events_come_in_any_order"},
    planted.TidiesFacts: {"events_stay"},
    planted.TidiesFactsWithin: {"events_stay"},
    planted.WritesIntoBatches: {"batches_are_taken_and_stay"},
    planted.LooksAtTheFirstRow: {"batches_are_taken_and_stay"},
    planted.AsksForNoSuchStage: {"batches_are_taken_and_stay"},
    planted.KnowsOneFormat: {"payloads_are_taken_and_stay"},
    planted.WritesIntoPayloads: {"payloads_are_taken_and_stay"},
    planted.SharesWhatItOpens: {"two_beside_each_other"},
    # What cannot be made cannot end; one that waits for everything waits with its backend away too.
    planted.SendsAllWhenItCloses: {"it_closes_in_time", "it_ends_when_its_backend_is_away"},
    # Whatever is away or raises: the thread is there.
    planted.LeavesAThread: {
        "nothing_is_left_behind",
        "a_run_is_the_same_when_it_raises",
        "it_ends_when_its_backend_is_away",
    },
    planted.LeavesAThreadWhereItCannotWrite: {"it_ends_when_its_backend_is_away"},
    planted.OpensWhenMade: {"a_run_is_the_same_when_its_backend_is_away", "it_ends_when_its_backend_is_away"},
    planted.KeepsItsThreadWhenCallsRaise: {"a_run_is_the_same_when_it_raises"},
    planted.KeepsBatches: {"it_does_not_keep_batches"},
    planted.KeepsPayloads: {"it_does_not_keep_batches"},
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_one_is_caught(wrong: type[Observer]) -> None:
    assert failing(kit_of(wrong), WRONG[wrong]) == WRONG[wrong]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_no_other_clause_is_broken(wrong: type[Observer]) -> None:
    assert failing(kit_of(wrong)) == WRONG[wrong]


def test_one_that_keeps_every_event_is_caught() -> None:
    kit = kit_of(planted.KeepsEvents, TestLines)
    [outcome] = run(kit, only=["it_does_not_keep_events"])
    assert outcome.verdict is Verdict.FAIL
    assert "it grows with every event" in outcome.reason


@pytest.mark.parametrize(
    ("wrong", "changed"),
    [
        (planted.GoesElsewhere, "the working directory"),
        (
            planted.SetsForEverybody,
            "variables of the environment: TZ, the timeout of all sockets, which levels",
        ),
    ],
)
def test_one_that_changes_the_process_is_caught(wrong: type[Observer], changed: str) -> None:
    here = Path.cwd()
    [outcome] = run(kit_of(wrong), only=["the_process_stays_as_it_was"])
    assert outcome.verdict is Verdict.FAIL
    assert changed in outcome.reason
    assert Path.cwd() == here


def test_one_that_fails_the_run_is_caught() -> None:
    assert failing(kit_of(planted.WantsToBeAskedOnce)) >= {"a_run_is_the_same_with_it"}
