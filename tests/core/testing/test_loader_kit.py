"""The kit for loaders: right ones pass, each wrong one is caught by the clause meant for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from support.planted import loaders as planted

from etl_core.hookspecs import Registration
from etl_core.interfaces import Loader
from etl_core.testing.clauses import run
from etl_core.testing.loader import LoaderConformance
from etl_core.testing.verdicts import Verdict


def kit_of(loader: type[Loader], **facts: Any) -> type[LoaderConformance]:
    registration = Registration("planted", None, loader, "Planted.")
    return type(loader.__name__, (LoaderConformance,), {"registration": registration, **facts})


def failing(kit: type[LoaderConformance], only: Collection[str] = ()) -> set[str]:
    verdicts = {outcome.clause.name: outcome.verdict for outcome in run(kit, only=only)}
    return {name for name, verdict in verdicts.items() if verdict not in {Verdict.PASS, Verdict.SKIP}}


#: What a table cannot hold when rows are missing or merged wrongly, wherever the story has such rows.
TABLES = {
    "the_table_tells_what_happened",
    "cuts_change_nothing",
    "moved_keys_and_values_not_sent",
    "a_key_of_two_columns",
    "a_truncate",
    "columns_that_change",
    "a_large_batch",
    "rows_without_sequences",
}

#: Those that take or filter rows, here, do not do it by way of types that Arrow takes rows of.
TAKING = {"values_of_every_type_stay"}

WRONG: dict[type[Loader], set[str]] = {
    # Without sequences nothing but the order tells which change is which.
    planted.TurnsRowsRound: {"rows_keep_their_order", "rows_without_sequences", *TAKING},
    planted.TurnsSnapshotsRound: {"rows_keep_their_order", *TAKING},
    planted.SplitsASequence: {"rows_of_one_sequence_stay_together"},
    planted.TurnsKeysRound: {"the_key_is_the_sources"},
    planted.TakesAnyKey: {"a_stream_without_a_key"},
    planted.ForgetsTruncates: {"a_truncate"},
    planted.SaysTooMuch: {"a_write_says_how_far_it_reaches"},
    planted.NeedsMoreThanItSays: {"it_says_which_modes_it_needs"},
    planted.LeavesOutAColumn: {"writes_have_the_tables_columns"},
    planted.RemembersTheFirstTable: {"writes_have_the_tables_columns"},
    # Without steps none is there after a resume either.
    planted.ForgetsSteps: {"a_snapshot_is_shown_at_its_end", "a_snapshot_goes_on_after_a_resume"},
    planted.ForgetsOpenSnapshots: {"a_snapshot_goes_on_after_a_resume"},
    planted.MixesStreams: {"streams_do_not_mix"},
    planted.WritesIntoItsInput: {"batches_stay_as_they_were"},
    planted.LooksOutside: {"it_touches_nothing_outside"},
    planted.TakesTheTime: {"the_same_makes_the_same", "streams_do_not_mix"},  # no two calls do the same
    planted.NeedsARow: {"no_rows_make_no_rows"},
    planted.TakesChanges: {"what_is_no_snapshot_is_refused"},
    planted.KeepsTheFirstWithoutSequences: {"rows_without_sequences"},
    planted.LosesRowsWithoutSequences: {"rows_without_sequences", *TAKING},
    planted.CutsChanges: {"values_of_every_type_stay"},
    planted.CutsSnapshots: {"values_of_every_type_stay"},
    # What is lost is not in the table; what comes late comes after the snapshot's end.
    planted.KeepsRowsBack: {
        "every_row_is_written_at_once",
        "a_write_says_how_far_it_reaches",
        "values_of_every_type_stay",
        *TABLES,
    },
    planted.LosesDeletes: {"every_row_is_written_at_once", *TABLES - {"a_truncate"}, *TAKING},
    # The set of the rows of one key says less than the rows one by one.
    planted.FoldsNothing: {
        "one_row_per_key",
        "rows_that_were_applied_can_be_skipped",
        *TABLES - {"a_truncate", "columns_that_change"},
    },
    planted.ForgetsOldKeys: {
        "every_row_is_written_at_once",
        "rows_that_were_applied_can_be_skipped",
        *TABLES - {"a_truncate", "columns_that_change", "a_large_batch"},
    },
    # Rows that all have the first sequence have neither an order nor the last one.
    planted.StampsTheFirst: {
        "rows_that_were_applied_can_be_skipped",
        "rows_keep_their_order",
        "every_row_is_written_at_once",
    },
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_one_is_caught(wrong: type[Loader]) -> None:
    assert failing(kit_of(wrong), WRONG[wrong]) == WRONG[wrong]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_no_other_clause_is_broken(wrong: type[Loader]) -> None:
    assert failing(kit_of(wrong)) == WRONG[wrong]


def test_a_loader_with_a_table_of_its_own_kind_is_held_to_the_form_only() -> None:
    assert failing(kit_of(planted.LatestOnly, result=None)) == set()
    [outcome] = run(kit_of(planted.LatestOnly, result=None), only=["the_table_tells_what_happened"])
    assert outcome.verdict is Verdict.SKIP
