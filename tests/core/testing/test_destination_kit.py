"""The kit for destinations: right ones pass, each wrong one is caught by the clause meant for it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import pytest
from support.planted import destination_doubts as doubts
from support.planted import destination_faults as faults
from support.planted.destination_kits import ChoosyKit, FiledKit, MarkedKit, PipedKit, PlainKit, registered
from support.planted.destination_kits import FiledKit as TestFiled
from support.planted.destination_kits import MarkedKit as TestMarked
from support.planted.destination_kits import PlainKit as TestPlain
from support.planted.destinations import Marked, Piped, Plain

from etl_core.hookspecs import Registration
from etl_core.interfaces import Destination
from etl_core.model import Position
from etl_core.testing.children import spec_of
from etl_core.testing.clauses import run
from etl_core.testing.destination import DestinationConformance
from etl_core.testing.destination.durability import flush_and_write, mark_and_wait
from etl_core.testing.destination.kills import run_to_the_end
from etl_core.testing.verdicts import Verdict

__all__ = ["TestFiled", "TestMarked", "TestPlain"]

_MIRRORS = {"a_mirror_follows_changes", "a_random_mirror_follows_changes"}
_UNSENT = _MIRRORS | {"keys_of_several_columns"}
_HISTORIES = {"a_history_has_every_change", "a_random_history_has_every_change", "streams_share_a_flush"}
_RETRIED = {"a_failure_between_write_and_flush_loses_nothing"}
_AGAIN = {"it_opens_again_after_close", "a_cancelled_run_ends_and_goes_on", "pipelines_keep_apart"}
_SNAPSHOTS = {"a_replacement_is_the_snapshot", "a_snapshot_of_a_table_with_rows"}
_STAGED = {"staged_rows_appear_at_the_end", "a_new_beginning_discards_what_was_staged"}
_EVOLVED = {"an_added_column", "a_renamed_column", "a_widened_column", "a_dropped_column"}

#: The clause that must catch each, and those that may fail with it: a story has more than one subject.
FAULTS: list[tuple[type[Destination], str, Collection[str]]] = [
    (
        faults.CommitsAtWrite,
        "accepted_is_not_durable",
        {"abort_forgets", "the_last_opener_has_the_fence", *_RETRIED},
    ),
    (faults.AbortForgetsNothing, "abort_forgets", ()),
    (
        faults.OnePosition,
        "pipelines_keep_apart",
        # every one that runs two pipelines
        {
            "a_cancelled_run_ends_and_goes_on",
            "a_history_has_every_change",
            "a_key_change_moves_its_row",
            "what_was_not_sent_stays",
            "a_truncate_empties_a_mirror",
            "keys_of_several_columns",
            "a_mirror_follows_changes",
            "a_snapshot_of_a_table_with_rows",
            *_RETRIED,
            *_EVOLVED,
        },
    ),
    (faults.SetsNoPosition, "the_position_is_kept_with_the_data", ()),
    (faults.IgnoresTheMark, "a_replay_changes_nothing", ()),
    (faults.IgnoresTheEpoch, "a_later_epoch_is_not_overwritten", ()),
    (faults.IgnoresTheFence, "the_last_opener_has_the_fence", ()),
    (faults.NullForUnchanged, "what_was_not_sent_stays", _UNSENT),
    (
        faults.UnchangedFromNewKey,
        "what_was_not_sent_stays",
        {"a_random_mirror_follows_changes", "keys_of_several_columns"},
    ),
    (faults.FillsPartialRows, "a_partial_row_without_its_base_is_rejected", ()),
    (
        faults.KeepsTheOldRow,
        "a_key_change_moves_its_row",
        {"what_was_not_sent_stays", "a_random_mirror_follows_changes", "keys_of_several_columns"},
    ),
    (faults.KeepsDeletedRows, "a_mirror_follows_changes", {"a_key_change_moves_its_row", *_UNSENT}),
    (faults.DeletesForGood, "soft_deletes_and_metadata", ()),
    (faults.MixesUpTheKey, "keys_of_several_columns", ()),
    (faults.FirstOfTheKey, "keys_of_several_columns", ()),
    (faults.IgnoresTruncate, "a_truncate_empties_a_mirror", {"a_random_mirror_follows_changes"}),
    (
        faults.Reorders,
        "a_history_has_every_change",
        # every one that looks at a history
        {"accepted_is_not_durable", "a_snapshot_of_a_table_with_rows", *_AGAIN, *_HISTORIES},
    ),
    (
        faults.WritesInReverse,
        "a_mirror_follows_changes",
        {"a_key_change_moves_its_row", "streams_share_a_flush", *_MIRRORS, *_RETRIED},
    ),
    (faults.StopsAtAnEmptyChunk, "many_chunks_and_slices", ()),
    (faults.CutsLargeWrites, "a_large_write", ()),
    (doubts.IntegersThroughFloats, "integers", ()),
    (doubts.KeepsOneStream, "streams_share_a_flush", {"names_that_differ_in_case"}),
    (doubts.NeedsAKey, "rows_without_a_key", ()),
    (doubts.TakesEqualRowsForOne, "rows_without_a_key", ()),
    (doubts.MarksWithoutEpoch, "a_new_epoch_comes_again", ()),
    (doubts.CutsWhatIsMerged, "texts", ()),
    (doubts.LosesStagedBytes, "binaries", ()),
    (doubts.ReplacesWithLoss, "binaries", {"empty_is_not_null", "a_large_write"}),
    (faults.RoundsDecimals, "decimals", ()),
    (faults.CutsTimestamps, "timestamps", {"extreme_timestamps"}),
    (faults.ForgetsNaN, "floats", ()),
    (faults.EmptyIsNull, "empty_is_not_null", {"texts", "a_random_history_has_every_change"}),
    (faults.RefusesWithoutTheType, "structs_and_maps", {"durations_and_intervals"}),
    (faults.LosesDefaults, "an_added_column", {"a_mirror_follows_changes"}),
    (faults.AddsForRename, "a_renamed_column", ()),
    (faults.ForgetsForWiden, "a_widened_column", ()),
    (faults.DropsNothing, "a_dropped_column_is_removed_on_request", ()),
    (faults.ChangesAgain, "a_change_that_is_known_is_not_made_again", ()),
    (faults.ForgetsTheKey, "a_table_is_as_it_was_asked_for", ()),
    (faults.MakesTablesWhenAsked, "an_absent_table_is_none", ()),
    (
        faults.ShowsStagedRows,
        "staged_rows_appear_at_the_end",
        {"a_mirror_follows_changes", *_HISTORIES, *_SNAPSHOTS, *_STAGED},
    ),
    (faults.KeepsAnUnfinishedRun, "a_new_beginning_discards_what_was_staged", ()),
    (faults.StagesInMemory, "staged_rows_appear_at_the_end", ()),
    (faults.AddsSnapshots, "a_replacement_is_the_snapshot", {*_SNAPSHOTS, *_STAGED}),
    (faults.ChecksWithATable, "checking_changes_nothing", ()),
    (faults.OpensOnce, "it_opens_again_after_close", _RETRIED),
    (faults.ClosesOnlyOnce, "closing_is_harmless", {"checking_changes_nothing", "secrets_stay_secret"}),
    (faults.LeavesAThread, "nothing_is_left_behind", {"a_cancelled_run_ends_and_goes_on"}),
    (faults.TellsTheSecret, "secrets_stay_secret", ()),
    (faults.TakesNoQuotes, "names_of_all_kinds", ()),
    (faults.TakesOneCase, "names_that_differ_in_case", {"names_of_all_kinds"}),
    (faults.NarrowRows, "three_hundred_columns", ()),
    (faults.FailsWithoutRows, "a_write_without_rows", ()),
    (
        faults.ForgetsSequences,
        "a_history_has_every_change",
        # every one that looks at a history
        {"a_snapshot_of_a_table_with_rows", *_AGAIN, *_HISTORIES, *_RETRIED},
    ),
    (faults.DurableTooSoon, "marks_become_durable_in_order", _RETRIED),
    (faults.NeverDurable, "marks_become_durable_in_order", ()),
]
#: Those that only a process that is killed can see.
KILLED = [faults.FlushesAtClose, faults.PositionAtClose]
#: Clauses that are tried on every fault, beside the one meant for it: quick ones, on other subjects.
PANEL = {"it_can_be_used", "a_truncate_empties_a_mirror", "a_partial_row_without_its_base_is_rejected"}
#: Clauses that start a process, or that have nothing to do with destinations.
_SLOW = {
    "a_kill_takes_only_what_was_not_flushed",
    "a_kill_takes_nothing_of_a_durable_mark",
    "looking_at_it_is_light",
    "it_is_registered_with_words",
}


def kit_of(fault: type[Destination]) -> type[DestinationConformance]:
    base: type[DestinationConformance] = FiledKit
    for kind, kit in ((Marked, MarkedKit), (Plain, PlainKit), (Piped, PipedKit)):
        base = kit if issubclass(fault, kind) else base
    right = base.registration
    factory = f"{fault.__module__}:{fault.__name__}"
    registration = Registration(right.name, right.config, factory, right.summary)
    facts: dict[str, Any] = {"registration": registration, "large": 2000, "seeds": (1,), "grace": 0.3}
    quiet = [name for name in dir(base) if name.startswith("test_killed") or name[5:] in _SLOW]
    return type(fault.__name__, (base,), facts | dict.fromkeys(quiet))


def failing(kit: type[DestinationConformance], only: Collection[str] = ()) -> dict[str, str]:
    broken = (Verdict.FAIL, Verdict.NOT_REACHED)
    return {each.clause.name: each.reason for each in run(kit, only=only) if each.verdict in broken}


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    faults.ENDED.clear()
    yield
    faults.ENDED.set()


@pytest.mark.parametrize(("fault", "meant", "others"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_wrong_one_is_caught(fault: type[Destination], meant: str, others: Collection[str]) -> None:
    found = failing(kit_of(fault), {meant, *PANEL})
    assert meant in found
    assert set(found) <= {meant, *others}


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("fault", "meant", "others"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_no_other_clause_is_broken(fault: type[Destination], meant: str, others: Collection[str]) -> None:
    found = failing(kit_of(fault))
    assert meant in found
    assert set(found) <= {meant, *others}


@pytest.mark.parametrize("fault", KILLED)
def test_what_only_a_kill_shows_is_caught(fault: type[Destination]) -> None:
    kit = kit_of(fault)
    del kit.test_a_kill_takes_only_what_was_not_flushed
    meant = "a_kill_takes_only_what_was_not_flushed"
    assert set(failing(kit, {meant, "accepted_is_not_durable", "abort_forgets", *PANEL})) == {meant}


@pytest.mark.parametrize(
    "fault", [doubts.PositionAfterRows, doubts.PositionBeforeRows, doubts.MarksAfterRows]
)
def test_what_is_committed_in_two_steps_is_caught(fault: type[Destination]) -> None:
    kit = kit_of(fault)
    del kit.test_killed_within_a_flush
    assert set(failing(kit, {"killed_within_a_flush", *PANEL})) == {"killed_within_a_flush"}


def test_a_mark_that_is_named_too_soon_is_caught() -> None:
    meant = "a_kill_takes_nothing_of_a_durable_mark"
    kit = kit_of(doubts.NamesMarksTooSoon)
    del kit.test_a_kill_takes_nothing_of_a_durable_mark
    assert set(failing(kit, {meant})) == {meant}
    assert not failing(PipedKit, {meant})


def test_numbers_that_are_kept_as_texts_are_no_fault() -> None:
    looked_at = {"abort_forgets", "the_last_opener_has_the_fence", "staged_rows_appear_at_the_end"}
    outcomes = run(kit_of(doubts.AllTexts), only={"booleans", "integers", *looked_at})
    assert [each.verdict for each in outcomes] == [Verdict.PASS] * 5


def test_what_no_loader_serves_is_told() -> None:
    (outcome,) = run(kit_of(doubts.ReplacesInOneGo), only={"it_can_be_used"})
    assert "no loader of the core can load into it" in outcome.reason


def test_marks_are_tried() -> None:
    only = {
        "marks_become_durable_in_order",
        "a_failure_between_write_and_flush_loses_nothing",
        "abort_forgets",
    }
    assert [each.verdict for each in run(PipedKit, only=only)] == [Verdict.PASS] * 3


def test_types_rows_and_openers_that_are_refused_by_name_are_no_fault() -> None:
    types = {"integers", "floats", "decimals", "structs_and_maps", "a_table_is_as_it_was_asked_for"}
    outcomes = run(ChoosyKit, only={"the_last_opener_has_the_fence", "a_mirror_follows_changes", *types})
    assert [each.verdict for each in outcomes] == [Verdict.PASS] * 7


@pytest.mark.parametrize("name", ["MergesOnly", "ReplacesOnly"])
def test_modes_that_are_not_claimed_are_not_asked_for(name: str) -> None:
    only = {
        "it_can_be_used",
        "it_opens_again_after_close",
        "abort_forgets",
        "the_position_is_kept_with_the_data",
        "pipelines_keep_apart",
        "the_last_opener_has_the_fence",
        "a_history_has_every_change",
        "a_replacement_is_the_snapshot",
        "staged_rows_appear_at_the_end",
        "a_change_that_is_known_is_not_made_again",
        "empty_is_not_null",
    }
    verdicts = [
        each.verdict for each in run(type(name, (FiledKit,), {"registration": registered(name)}), only=only)
    ]
    assert verdicts.count(Verdict.PASS) >= 6
    assert set(verdicts) == {Verdict.PASS, Verdict.SKIP}


class Unread(FiledKit):
    read_back = DestinationConformance.read_back


def test_without_a_way_to_read_back_nothing_is_known() -> None:
    (outcome,) = run(Unread, only={"a_mirror_follows_changes"})
    assert outcome.verdict is Verdict.NOT_REACHED
    assert "read_back" in outcome.reason


def test_the_part_that_marks_needs_no_kit_of_the_author() -> None:
    kit = PipedKit()
    kit.setup_method()
    try:
        position = Position(1, 1, 1).to_json()
        mark_and_wait({"spec": spec_of(kit), "loader": "append", "position": position})
        assert kit.rows(kit.stream()).num_rows == 3
    finally:
        kit.teardown_method()


@pytest.mark.parametrize("part", [flush_and_write, run_to_the_end])
def test_the_part_of_a_child_process_needs_no_kit_of_the_author(part: Any) -> None:
    kit = FiledKit()
    kit.setup_method()
    try:
        place = {"spec": spec_of(kit), "stream": "orders", "state": str(kit.directory / "state.db")}
        part({**place, "loader": "append", "position": Position(1, 1, 1).to_json()})
        assert kit.rows(kit.stream()).num_rows in {3, 17}
    finally:
        kit.teardown_method()


def test_thoroughness_is_a_kill_at_every_place() -> None:
    facts = {"thorough": True, "places": {"schema_change": (1,), "handover": (9,)}}
    kit = type("Thorough", (MarkedKit,), {**facts, "following": lambda kit: ["upsert"]})
    assert [each.verdict for each in run(kit, only={"killed_anywhere"})] == [Verdict.PASS]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kit", [FiledKit, MarkedKit, PlainKit, PipedKit])
def test_killed_anywhere_nothing_is_lost(kit: type[DestinationConformance]) -> None:
    thorough = type("Thorough", (kit,), {"thorough": True})
    assert [each.verdict for each in run(thorough, only={"killed_anywhere"})] == [Verdict.PASS]
