"""The kit for transforms: right ones pass, each wrong one is caught by the clause meant for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from support.planted import transforms as planted
from support.planted.transform_settings import TidyConfig

from etl_core.hookspecs import Registration
from etl_core.interfaces import Transform
from etl_core.testing.clauses import run
from etl_core.testing.transform import TransformConformance
from etl_core.testing.verdicts import Verdict


class TestTidy(TransformConformance):
    """A right one, under pytest."""

    registration = Registration(
        "tidy", TidyConfig, "support.planted.transforms:Tidy", "Puts orders in order."
    )
    key: ClassVar[tuple[str, ...]] = ("id",)

    def rows(self) -> pa.RecordBatch:
        return planted.orders()

    def bad_rows(self) -> pa.RecordBatch | None:
        return planted.unknown_regions()


class Quick(TestTidy):
    """Without the clause that starts a process."""

    test_a_killed_run_ends_the_same = None  # type: ignore[assignment]

    def bad_rows(self) -> pa.RecordBatch | None:
        rejecting = issubclass(self.registration.factory, planted.Tidy)  # type: ignore[arg-type]
        return super().bad_rows() if rejecting else None


def kit_of(transform: type[Transform], base: type[TransformConformance] = Quick, **facts: Any) -> Any:
    registration = Registration("planted", None, transform, "Planted.")
    return type(transform.__name__, (base,), {"registration": registration, **facts})


def verdicts(kit: type[TransformConformance], only: Collection[str] = ()) -> dict[str, Verdict]:
    return {outcome.clause.name: outcome.verdict for outcome in run(kit, only=only)}


def failing(kit: type[TransformConformance], only: Collection[str] = ()) -> set[str]:
    return {name for name, verdict in verdicts(kit, only).items() if verdict is Verdict.FAIL}


RIGHT = [
    kit_of(planted.Tidy),
    kit_of(planted.MovesKeys),
    kit_of(planted.Doubles, fans_out=True),
    kit_of(planted.Shares, per_batch=True, varies=frozenset({"token"})),
    kit_of(planted.Plain, key=()),
]


@pytest.mark.parametrize("kit", RIGHT, ids=lambda kit: kit.__name__)
def test_a_right_one_breaks_nothing(kit: type[TransformConformance]) -> None:
    found = [outcome for outcome in run(kit) if outcome.verdict not in {Verdict.PASS, Verdict.SKIP}]
    assert found == []


#: Broken too by whatever has wrong keys or values of its own, since the table is compared.
MIRROR = "a_mirror_follows"

WRONG: dict[type[Transform], set[str]] = {
    planted.WritesIntoItsInput: {"its_input_stays_as_it_was"},
    planted.PromisesAnotherType: {"its_schema_is_that_of_its_rows", "no_rows_give_no_rows"},  # empty too
    planted.KnowsItsSchemaWhenOpen: {"asking_for_the_schema_changes_nothing"},
    planted.LosesRows: {"every_row_is_accounted_for"},
    planted.TellsAnotherOrigin: {"every_row_is_accounted_for"},
    # The key goes round with its row, so that the rows' keys are others than before.
    planted.TurnsRowsRound: {"cuts_change_nothing", "key_columns_stay", MIRROR},
    # A count that goes on shows wherever a batch is not the first.
    planted.Numbers: {
        "the_same_again_gives_the_same",
        "it_can_be_opened_again",
        "streams_do_not_mix",
        "a_new_column_is_taken",
        MIRROR,
    },
    planted.NumbersWithin: {"cuts_change_nothing", MIRROR},
    planted.ReadsMoreThanItSays: {"no_other_column_matters"},
    planted.DecidesByMoreThanItSays: {"no_other_column_matters"},
    planted.ChangesMoreThanItSays: {"columns_not_declared_pass_through"},
    planted.NamesNoSuchColumn: {"inputs_name_columns"},
    planted.ChangesKeys: {"key_columns_stay", MIRROR},
    planted.MapsKeysByTheirRows: {"keys_alone_are_mapped_alike", MIRROR},
    planted.FirstOfEachKey: {MIRROR},
    planted.LeavesAThread: {"nothing_is_left_behind"},
    planted.NeedsReservedColumns: {"it_can_be_used"},
    planted.RaisesForABadRow: {"what_is_rejected_is_told", "a_bad_row_is_rejected_not_raised"},
    planted.RejectsWithoutACode: {"what_is_rejected_is_told"},
    planted.FailsOnNulls: {"values_may_be_missing", "cuts_change_nothing"},  # a row alone may lack it
    planted.FailsOnNothing: {"no_rows_give_no_rows"},
    planted.ClosesForGood: {"it_can_be_opened_again"},
    planted.KeepsTheFirstStream: {"streams_do_not_mix"},
    planted.CountsOnItsColumns: {"a_new_column_is_taken"},
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_wrong_one_is_caught(wrong: type[Transform]) -> None:
    assert failing(kit_of(wrong, grace=0.5), WRONG[wrong]) == WRONG[wrong]


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_no_other_clause_is_broken(wrong: type[Transform]) -> None:
    assert failing(kit_of(wrong, grace=0.5)) == WRONG[wrong]


def test_what_only_another_process_shows_is_caught() -> None:
    assert failing(kit_of(planted.OfItsProcess, TestTidy, bad_rows=lambda self: None)) == {
        "a_killed_run_ends_the_same"
    }


def few(self: TransformConformance) -> pa.RecordBatch:
    return planted.orders(5)


def reserved(self: TransformConformance) -> pa.RecordBatch:
    return planted.orders().append_column("_etl_op", pa.array(["i"] * 40))


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"rows": few}, "20 rows or more"),
        ({"rows": reserved}, "without reserved columns"),
        ({"key": ("number",)}, "a column of `key`"),
        ({"key": None}, "give the class attribute `key`"),
    ],
)
def test_what_cannot_be_tried_is_not_reached(facts: dict[str, Any], wanted: str) -> None:
    [outcome] = run(kit_of(planted.Plain, **facts), only=["key_columns_stay"])
    assert outcome.verdict is Verdict.NOT_REACHED
    assert wanted in outcome.reason
