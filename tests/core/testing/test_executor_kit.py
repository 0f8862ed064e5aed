"""Wrong executors, each caught by the clause meant for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.planted import executors

from etl_core import plugins
from etl_core.engine.plugin import ThreadsConfig
from etl_core.hookspecs import Registration
from etl_core.testing.clauses import clauses_of, run
from etl_core.testing.executor import ExecutorConformance
from etl_core.testing.verdicts import Verdict


@pytest.fixture(autouse=True)
def _let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End what the faults leave behind, and let them litter a directory of the test's."""
    monkeypatch.chdir(tmp_path)
    executors.STOP.clear()
    yield
    executors.STOP.set()


def kit_of(fault: str) -> type[ExecutorConformance]:
    class Kit(ExecutorConformance):
        registration = Registration(
            "planted", ThreadsConfig, f"support.planted.executors:{fault}", "Planted."
        )
        grace = 2.0
        patience = 2.0 if fault in {"OneAtATime", "GoesOnForEver", "WaitsForTheDead"} else 30.0

    return Kit


SECRETS = "secrets_of_a_document_stay_secret"

#: The clauses that a fault within this process can break.
ONES = {
    "a_document_runs_to_its_end",
    "events_arrive_in_order",
    "errors_come_as_a_pipeline_raises_them",
    "everything_that_is_told_is_handed_back",
    "secrets_of_a_document_stay_secret",
    "once_is_kept",
    "it_runs_again_after_a_failure",
    "a_cancel_ends_the_run",
    "the_run_after_a_cancel_resumes",
    "one_pipeline_runs_once_at_a_time",
    "pipelines_run_side_by_side",
    "nothing_is_left_behind",
}


FAULTS: list[tuple[str, set[str]]] = [
    ("SwallowsCancelled", {"a_cancel_ends_the_run"}),
    # Each is about events that are missing.
    ("LosesEvents", {"events_arrive_in_order", "everything_that_is_told_is_handed_back"}),
    ("LosesReads", {"everything_that_is_told_is_handed_back"}),
    ("HoldsEventsBack", {"events_arrive_in_order"}),
    ("TellsTheGist", {"everything_that_is_told_is_handed_back"}),
    # That the pipeline runs already is an error too.
    ("WrapsErrors", {"errors_come_as_a_pipeline_raises_them", "one_pipeline_runs_once_at_a_time"}),
    ("TellsNothing", {"a_document_runs_to_its_end", "everything_that_is_told_is_handed_back"}),
    ("BreaksForGood", {"it_runs_again_after_a_failure"}),
    ("KeepsStateElsewhere", {"one_pipeline_runs_once_at_a_time"}),
]


@pytest.mark.parametrize(("fault", "clauses"), FAULTS)
def test_a_fault_is_caught(fault: str, clauses: set[str]) -> None:
    outcomes = list(run(kit_of(fault), only=clauses))
    assert {each.clause.name for each in outcomes if each.verdict is not Verdict.PASS} == clauses


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("fault", "clauses"), [("Right", set()), *FAULTS])
def test_no_other_clause_is_broken(fault: str, clauses: set[str]) -> None:
    kit = kit_of(fault)
    assert {each.name for each in clauses_of(kit)} > ONES
    outcomes = list(run(kit, only=ONES))
    assert {each.clause.name for each in outcomes if each.verdict is not Verdict.PASS} == clauses


@pytest.mark.parametrize(
    ("fault", "clause", "reason"),
    [
        ("LeavesThreads", "nothing_is_left_behind", "something was left behind (left=thread forgotten)"),
        ("OneAtATime", "pipelines_run_side_by_side", "the run did not end in time"),
        ("OutlivesItsCaller", "the_run_after_a_kill_resumes", "the run of a process that was killed holds"),
        ("IgnoresCancel", "a_cancel_ends_the_run", "the run did not end in time"),
        ("TellsAtOnce", "events_arrive_in_order", "an event was handed on before another had been"),
        (
            "WaitsForTheDead",
            "a_pipeline_whose_process_is_killed_has_failed",
            "a run whose process was killed goes on",
        ),
        ("GoesOnForEver", "once_is_kept", "the run did not end in time"),
        ("PrintsTheDocument", SECRETS, "a secret of the document can be read (where=output)"),
        ("LeavesTheDocument", SECRETS, "a run leaves temporary files"),
        ("ShowsTheDocument", SECRETS, "a secret of the document is in a file that others can read"),
        (
            "CallsWithTheDocument",
            SECRETS,
            "a secret of the document can be read (where=arguments of a process)",
        ),
        ("ForgetsTheBase", "a_document_runs_to_its_end", "not every row arrived once and in order"),
    ],
)
def test_a_fault_that_spoils_several_clauses_is_caught(fault: str, clause: str, reason: str) -> None:
    (outcome,) = run(kit_of(fault), only=[clause])
    assert outcome.verdict is Verdict.FAIL
    assert outcome.reason.startswith(reason)


def test_the_kit_finds_its_connectors_where_others_are_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.LOAD, "")
    before = dict(os.environ)
    (outcome,) = run(kit_of("Right"), only=["a_document_runs_to_its_end"])
    assert outcome.verdict is Verdict.PASS
    assert dict(os.environ) == before
    assert not any("etl-conformance" in path for path in sys.path)
