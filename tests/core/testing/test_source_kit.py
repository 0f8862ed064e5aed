"""The kit for sources: right ones pass, each wrong one is caught by the clause meant for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.planted import source_positions as positions
from support.planted import sources as planted
from support.planted.source_settings import LedgerSettings

from etl_core import Registration, Source
from etl_core.testing.clauses import run
from etl_core.testing.source import SourceConformance
from etl_core.testing.verdicts import Verdict

_BEGINNING = [
    [["i", 1, "one"], ["i", 2, "two"]],
    [["u", 1, "uno"]],
    [["i", 3, None], ["d", 2, None], ["i", 4, "four"]],
]


class LedgerKit(SourceConformance):
    """A file of three transactions, with more to come."""

    registration = Registration(
        "ledger", LedgerSettings, "support.planted.sources:Ledger", "A file of transactions"
    )
    endless: ClassVar[bool] = True

    def config(self) -> Mapping[str, Any]:
        return {
            "path": str(self.directory / "ledger"),
            "password": planted.PASSWORD,
            "endless": self.endless,
        }

    def prepare(self) -> None:
        self.changes = 0
        for transaction in _BEGINNING:
            self.add(transaction)

    def add(self, transaction: list[list[Any]]) -> None:
        with (self.directory / "ledger").open("a") as file:
            file.write(json.dumps(transaction) + "\n")

    def change(self) -> None:
        self.changes += 1
        new = 10 * self.changes
        self.add([["i", new, "new"], ["i", new + 1, "newer"], ["u", 3, f"changed {new}"]])


class TestLedger(LedgerKit):
    """A right one that goes on for ever."""


class TestCopying(LedgerKit):
    """A right one with snapshots, which are begun anew."""

    registration = Registration(
        "copying", LedgerSettings, "support.planted.sources:Copying", "A file of transactions"
    )


class FiniteKit(LedgerKit):
    registration = Registration(
        "plain", LedgerSettings, "support.planted.sources:Plain", "A file of transactions"
    )
    endless = False


class Impatient(LedgerKit):
    """Without the clauses that start processes; gives up soon."""

    patience = 1.0
    deadline = 10.0
    grace = 1.0
    test_looking_at_it_is_light = None  # type: ignore[assignment]
    test_a_kill_loses_and_repeats_nothing = None  # type: ignore[assignment]
    test_what_a_kill_repeats_can_be_known = None  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def _release() -> Iterator[None]:
    planted.released.clear()
    yield
    planted.released.set()
    for file in planted.kept:
        file.close()
    planted.kept.clear()


def kit_of(source: type[Source], base: type[LedgerKit] = Impatient, **facts: Any) -> Any:
    name = f"{source.__module__}:{source.__name__}"
    registration = Registration("planted", LedgerSettings, name, "Planted")
    return type(source.__name__, (base,), {"registration": registration, **facts})


def failing(kit: type[SourceConformance], *only: str) -> set[str]:
    outcomes = list(run(kit, only=only))
    unreached = [one for one in outcomes if one.verdict is Verdict.NOT_REACHED]
    assert not unreached, unreached
    return {one.clause.name for one in outcomes if one.verdict is Verdict.FAIL}


RESUME = "every_position_gives_the_rest"
CONSUMES = "reading_consumes_nothing"
AGAIN = "it_reads_again_after_a_failure"
FOREIGN = "a_position_that_is_not_its_own_is_refused"
TEARDOWN = "teardown_can_be_repeated"
DESCRIBED = "streams_are_described"
LOOKING = "looking_changes_nothing"
SAMPLE = "a_sample_is_small"
ROWS = "rows_fit_their_stream"
SEQUENCES = "sequences_rise"
JSON = "positions_are_json"
IDLE = "it_yields_when_idle"
NEWS = "it_goes_on_after_idling"
UNTIL = "it_ends_at_until"
CANCEL = "it_ends_when_cancelled"
FAILURE = "nothing_is_left_after_a_failure"
ACK = "ack_may_come_at_any_time"
LEFT = "nothing_is_left_behind"
SECRETS = "secrets_stay_secret"
KILL = "a_kill_loses_and_repeats_nothing"
KNOWN = "what_a_kill_repeats_can_be_known"

#: Every wrong source with the clause meant for it, then those that fail by necessity, for the reason beside.
WRONG: dict[type[planted.Ledger], tuple[str, ...]] = {
    planted.ResumesTooFar: (RESUME, CONSUMES, AGAIN, ACK, UNTIL, NEWS),  # all of them resume
    planted.ResumesTooEarly: (
        RESUME,
        CONSUMES,
        AGAIN,
        ACK,
        UNTIL,
        NEWS,
        SEQUENCES,
    ),  # and repeats
    planted.ResumesFromItself: (AGAIN,),
    planted.GoesOnFromMemory: (AGAIN,),
    planted.AcksWhatItReads: (
        CONSUMES,
        RESUME,
        AGAIN,
        ACK,
        NEWS,
    ),  # what comes after earlier positions is gone
    planted.GoesOnAfterCancel: (CANCEL,),
    planted.SwallowsCancel: (CANCEL, AGAIN),  # where a cancel was the reason to close
    planted.NeverIdles: (IDLE,),
    planted.LooksOnce: (NEWS,),
    planted.LeavesThreads: (LEFT, FAILURE, CANCEL),  # whatever becomes of a read, it leaves one
    planted.LeavesFiles: (FAILURE, CANCEL),  # a cancel is an early end, too
    planted.LogsItsPassword: (SECRETS,),
    planted.TellsThePassword: (SECRETS,),
    planted.WrongReservedType: (ROWS,),
    planted.RepeatsItsSequence: (SEQUENCES,),
    planted.SequencesFall: (SEQUENCES,),
    planted.SequencesByTime: (RESUME, CONSUMES, AGAIN, ACK, LOOKING, NEWS),  # each compares them
    planted.NoSequences: (SEQUENCES,),
    planted.KeyIsElsewhere: (DESCRIBED, ROWS),  # no row has such a key
    planted.DeletesWithoutKey: (ROWS,),
    planted.AckWaits: (ACK,),
    planted.PassesUntil: (UNTIL,),
    planted.EndsTooEarly: (UNTIL,),
    planted.PositionIsATuple: (JSON,),
    planted.TriesForeignAgain: (FOREIGN, TEARDOWN),  # what is gone is to be tried again, too
    planted.StartsOverInSilence: (FOREIGN,),
    planted.SkipsWhatIsToCome: (FOREIGN,),
    planted.FailsWithoutAWord: (FOREIGN,),
    planted.StartsOverAfterTeardown: (TEARDOWN,),
    planted.TearsDownOnce: (TEARDOWN, LOOKING),  # which tears down to see what is there
    planted.SamplesEverything: (SAMPLE,),
    planted.SampleMovesTheSlot: (LOOKING,),
    positions.AnyTextStartsOver: (FOREIGN,),
    positions.KeepsItsEpoch: (SEQUENCES,),
    positions.Beats: (NEWS,),
    positions.BeatsAhead: (NEWS,),
    positions.AcksWhileIdle: (CONSUMES, NEWS),  # which reads on from what was told before it idled
    positions.AckAsksFirst: (ACK,),
    positions.StuckInNext: (CANCEL,),
    positions.PositionHasThePassword: (SECRETS,),
}


@pytest.mark.parametrize("source", WRONG, ids=lambda source: source.__name__)
def test_a_wrong_source_is_caught_by_its_clause(source: type[planted.Ledger]) -> None:
    assert failing(kit_of(source, deadline=deadline_of(source)), *WRONG[source]) == set(WRONG[source])


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("source", WRONG, ids=lambda source: source.__name__)
def test_a_wrong_source_breaks_no_other_clause(source: type[planted.Ledger]) -> None:
    assert failing(kit_of(source, deadline=deadline_of(source))) == set(WRONG[source])


def deadline_of(source: type[planted.Ledger]) -> float:
    return 3.0 if source in {planted.PassesUntil, planted.LooksOnce} else 10.0


def test_reordered_rows_are_caught() -> None:
    # Finite, so that nothing but a position is resumed from.
    found = failing(kit_of(planted.Reorders, endless=False))
    assert found == {RESUME, CONSUMES, AGAIN}


def test_a_finite_source_that_never_reads_on_is_caught() -> None:
    found = failing(kit_of(positions.DoneIsDone, endless=False))
    assert found == {RESUME, AGAIN}


def test_a_snapshot_that_is_taken_again_is_caught() -> None:
    found = failing(kit_of(positions.CopiesAgain, endless=False))
    assert found == {RESUME}


@pytest.mark.parametrize(
    "source", [positions.Texts, positions.ByPartition, positions.ById], ids=lambda source: source.__name__
)
def test_positions_may_have_any_form(source: type[Source]) -> None:
    assert failing(kit_of(source)) == set()


def test_a_source_that_is_run_again_may_copy_first() -> None:
    assert failing(kit_of(planted.Copying, endless=False)) == set()


@pytest.mark.parametrize("source", [planted.Plain, planted.Whole], ids=lambda source: source.__name__)
def test_a_finite_source_may_be_simple(source: type[planted.Ledger]) -> None:
    kit = kit_of(source, FiniteKit, test_what_a_kill_repeats_can_be_known=None)
    assert {one.verdict for one in run(kit)} == {Verdict.PASS, Verdict.SKIP}


#: What a run that is killed brings to light, with the clause and what it says.
KILLED: dict[type[planted.Ledger], tuple[str, str]] = {
    planted.ResumesTooFar: (KILL, "rows are missing"),
    planted.ResumesTooEarly: (KILL, "rows came twice after a kill"),
    planted.SequencesByTime: (KNOWN, "rows come that should not"),
}


@pytest.mark.parametrize("source", KILLED, ids=lambda source: source.__name__)
def test_a_kill_brings_it_to_light(source: type[planted.Ledger]) -> None:
    clause, said = KILLED[source]
    (outcome,) = run(kit_of(source, LedgerKit), only=[clause])
    assert (outcome.verdict, said in outcome.reason) == (Verdict.FAIL, True), outcome.reason


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (planted.YieldsItsRows, "it yielded something that is no batch"),
        (planted.YieldsEmptyBatches, "it yielded a batch of rows without rows"),
        (planted.NamesNoStream, "it yielded a batch without a stream"),
    ],
)
def test_what_is_no_batch_at_all_is_said_first(source: type[planted.Ledger], said: str) -> None:
    first, *others = run(kit_of(source))
    assert (first.verdict, said in first.reason) == (Verdict.FAIL, True), first.reason
    assert {one.verdict for one in others} == {Verdict.NOT_REACHED}


def test_a_position_of_bytes_is_told_by_name() -> None:
    (outcome,) = run(kit_of(planted.PositionIsBytes), only=[JSON])
    assert (outcome.verdict, outcome.reason) == (Verdict.FAIL, "a position is no JSON value (type=bytes)")


class Empty(Impatient):
    def prepare(self) -> None:
        (self.directory / "ledger").touch()


def test_a_source_without_rows_is_not_known() -> None:
    outcomes = {one.clause.name: one for one in run(Empty, only=[RESUME, ROWS, KILL])}
    assert {one.verdict for one in outcomes.values()} == {Verdict.NOT_REACHED}
    assert "give the source some rows" in outcomes[RESUME].reason


class Unchanged(Impatient):
    change = SourceConformance.change


def test_without_a_change_what_follows_it_is_not_known() -> None:
    outcomes = {one.clause.name: one for one in run(Unchanged)}
    unknown = {name for name, one in outcomes.items() if one.verdict is Verdict.NOT_REACHED}
    assert unknown == {NEWS, UNTIL}
    assert all("give `change()`" in outcomes[name].reason for name in unknown)
    assert Verdict.FAIL not in {one.verdict for one in outcomes.values()}


def test_nothing_is_written_into_a_system_that_was_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text("\n".join(map(json.dumps, _BEGINNING)))

    def given(kit: Any) -> None:
        kit.given = ({"path": "ledger", "password": planted.PASSWORD}, tmp_path)

    outcomes = {
        one.clause.name: one for one in run(LedgerKit, given, only=[RESUME, AGAIN, IDLE, NEWS, UNTIL, KNOWN])
    }
    unknown = {name for name, one in outcomes.items() if one.verdict is not Verdict.PASS}
    assert unknown == {NEWS, UNTIL}
    assert "nothing is written" in outcomes[NEWS].reason
    assert len(path.read_text().splitlines()) == len(_BEGINNING)


@pytest.mark.slow
@pytest.mark.parametrize("kit", [TestLedger, TestCopying], ids=lambda kit: kit.__name__)
@pytest.mark.parametrize("clause", [RESUME, KILL, KNOWN])
@pytest.mark.timeout(240)
def test_everything_is_tried_where_asked(kit: type[LedgerKit], clause: str) -> None:
    thorough = type("Thorough", (kit,), {"thorough": True})
    (outcome,) = run(thorough, only=[clause])
    assert outcome.verdict is Verdict.PASS, outcome.reason
