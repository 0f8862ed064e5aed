"""The schema policy, cell by cell, and how rows are made to fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pyarrow as pa
import pytest

from etl_core.config import SchemaPolicy
from etl_core.engine.evolution import Plan, fit, reconcile
from etl_core.errors import SchemaError
from etl_core.model import (
    COMMIT_TS,
    DELETED,
    OLD_KEY,
    OP,
    SEQ,
    UNCHANGED,
    AddColumn,
    Change,
    DropColumn,
    RenameColumn,
    Stream,
    TableSchema,
    WidenColumn,
)
from etl_core.schema import COMMIT_TS_TYPE, SEQ_TYPE, UNCHANGED_TYPE, reserved_schema

ORDERS = Stream("public", "orders")
INT, BIG, TEXT = pa.int32(), pa.int64(), pa.string()
EVOLVE, FREEZE, DISCARD = (SchemaPolicy.uniform(axis) for axis in ("evolve", "freeze", "discard"))
SOFT = pa.schema([(DELETED, pa.bool_())])


def columns(**types: pa.DataType | pa.Field) -> pa.Schema:
    return pa.schema(
        [t.with_name(name) if isinstance(t, pa.Field) else pa.field(name, t) for name, t in types.items()]
    )


def never_null(type: pa.DataType) -> pa.Field:
    return pa.field("", type, nullable=False)


def mirror(control: pa.Schema | None = None, **types: pa.DataType | pa.Field) -> TableSchema:
    return TableSchema(ORDERS, columns(**types), ("id",) if "id" in types else (), control)


def history(**types: pa.DataType | pa.Field) -> TableSchema:
    schema = columns(**types)
    key = ("id",) if "id" in types else ()
    return TableSchema(ORDERS, schema, key, reserved_schema(schema, key))


def plan(
    current: TableSchema | None,
    wanted: TableSchema,
    *changes: Change,
    policy: SchemaPolicy = EVOLVE,
    drop_columns: bool = False,
    replacing: bool = False,
) -> Plan:
    return reconcile(
        current,
        wanted,
        changes,
        policy,
        drop_columns=drop_columns,
        stored=stored,
        fold=str.lower,
        replacing=replacing,
    )


def stored(type: pa.DataType) -> pa.DataType:
    if type == pa.month_day_nano_interval():
        raise SchemaError("no such type here", "cast the column", type=str(type))
    return pa.string() if type == pa.large_string() else type


def refused(*args: Any, **options: Any) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        plan(*args, **options)
    assert caught.value.hint
    return caught.value


def test_a_destination_of_plain_types_may_keep_our_own_columns_in_its_own_form() -> None:
    def plain(type: pa.DataType) -> pa.DataType:
        if pa.types.is_nested(type):
            raise SchemaError("no nested types here", "cast the column", type=str(type))
        return type

    wanted = history(id=INT)
    texts = pa.schema(
        [pa.field(each.name, TEXT if pa.types.is_nested(each.type) else each.type) for each in wanted.control]
    )
    kept = attrs.evolve(wanted, control=None, columns=pa.schema([*wanted.columns, *texts]))
    found = reconcile(
        kept, wanted, (), EVOLVE, drop_columns=False, stored=plain, fold=str.lower, replacing=False
    )
    assert found.changes == ()


class TestRefusedType:
    """The destination says which type it refuses, and the policy which column that is."""

    refused = mirror(id=INT, span=pa.month_day_nano_interval())

    @pytest.mark.parametrize("current", [None, mirror(id=INT), mirror(id=INT, span=TEXT)], ids=str)
    def test_it_is_named_with_its_column(self, current: TableSchema | None) -> None:
        error = refused(current, self.refused)
        assert (error.stream, error.column) == ("public.orders", "span")
        assert error.type == "month_day_nano_interval"


class TestNewColumn:
    current, wanted = mirror(id=INT), mirror(id=INT, note=TEXT)

    def test_evolve_adds_it_with_the_announced_default(self) -> None:
        found = plan(self.current, self.wanted, AddColumn("note", TEXT, "none"))
        assert found.changes == (AddColumn("note", TEXT, "none"),)
        assert found.table.columns.names == ["id", "note"]

    def test_evolve_adds_it_nullable_when_nobody_knows_a_default(self) -> None:
        found = plan(self.current, mirror(id=INT, note=never_null(TEXT)))
        assert found.changes == (AddColumn("note", TEXT),)
        assert found.table.columns.field("note").nullable

    def test_freeze_stops(self) -> None:
        error = refused(self.current, self.wanted, policy=FREEZE)
        assert (error.column, error.wanted) == ("note", TEXT)
        assert "new_column" in str(error.hint)

    def test_discard_leaves_it_out(self) -> None:
        found = plan(self.current, self.wanted, policy=DISCARD)
        assert (set(found.left_out), list(found.changes), found.table.columns.names) == ({"note"}, [], ["id"])
        rows, misfits = fit(pa.table({"id": pa.array([1], INT), "note": ["x"]}), found)
        assert rows.column_names == ["id"]
        assert misfits == []

    def test_a_key_column_cannot_be_left_out(self) -> None:
        assert refused(mirror(note=TEXT), mirror(id=INT, note=TEXT), policy=DISCARD).column == "id"

    def test_a_history_has_no_value_from_before_the_column(self) -> None:
        added = AddColumn("note", TEXT, "none")
        found = plan(history(id=INT), history(id=INT, note=TEXT), added)
        assert found.changes == (AddColumn("note", TEXT),)

    def test_a_column_made_in_advance_suits_a_frozen_table(self) -> None:
        found = plan(self.wanted, self.wanted, AddColumn("note", TEXT, "x"), policy=FREEZE)
        assert found.changes == ()

    def test_a_transformed_column_has_no_default_of_another_type(self) -> None:
        found = plan(self.current, self.wanted, AddColumn("note", INT, 5))
        assert found.changes == (AddColumn("note", TEXT),)


class TestRemovedColumn:
    current, wanted = mirror(id=INT, note=TEXT), mirror(id=INT)

    def test_evolve_keeps_it(self) -> None:
        found = plan(self.current, self.wanted, DropColumn("note"))
        assert found.changes == ()
        assert found.table.columns.names == ["id"]

    def test_evolve_makes_it_take_nulls(self) -> None:
        found = plan(mirror(id=INT, note=never_null(TEXT)), self.wanted)
        assert found.changes == (WidenColumn("note", TEXT, nulls=True),)

    def test_drop_columns_drops_what_the_source_dropped(self) -> None:
        found = plan(self.current, self.wanted, DropColumn("note"), drop_columns=True)
        assert found.changes == (DropColumn("note"),)

    def test_drop_columns_leaves_columns_nobody_announced(self) -> None:
        for replacing in (False, True):
            assert plan(self.current, self.wanted, drop_columns=True, replacing=replacing).changes == ()

    @pytest.mark.parametrize("changes", [(), (DropColumn("note"),)], ids=["found", "announced"])
    def test_freeze_stops(self, changes: Sequence[Change]) -> None:
        error = refused(self.current, self.wanted, *changes, policy=FREEZE)
        assert error.column == "note"
        assert "removed_column" in str(error.hint)

    def test_discard_keeps_it_as_it_is(self) -> None:
        assert plan(self.current, self.wanted, policy=DISCARD, drop_columns=True).changes == ()

    def test_discard_refuses_rows_that_lack_what_must_not_be_null(self) -> None:
        found = plan(mirror(id=INT, note=never_null(TEXT)), self.wanted, policy=DISCARD)
        rows, [(lost, code, column)] = fit(pa.table({"id": pa.array([1], INT)}), found)
        assert (rows.num_rows, lost.num_rows, code, column) == (0, 1, "null_not_allowed", "note")


class TestTypeChange:
    current, wanted = mirror(id=INT, n=INT), mirror(id=INT, n=BIG)

    def test_evolve_widens(self) -> None:
        assert plan(self.current, self.wanted).changes == (WidenColumn("n", BIG),)

    def test_evolve_stops_at_what_is_no_widening(self) -> None:
        error = refused(mirror(id=INT, n=TEXT), self.wanted)
        assert (error.column, error.found, error.wanted) == ("n", TEXT, BIG)
        assert "state reset" in str(error.hint)

    def test_evolve_follows_a_source_that_vouches_for_the_values(self) -> None:
        zoned = pa.timestamp("us", tz="UTC")
        current = mirror(id=INT, at=pa.timestamp("us"))
        assert plan(current, mirror(id=INT, at=zoned), WidenColumn("at", zoned)).changes == (
            WidenColumn("at", zoned),
        )

    def test_any_type_is_taken_when_a_snapshot_replaces_every_row(self) -> None:
        found = plan(mirror(id=INT, n=TEXT), self.wanted, replacing=True)
        assert found.changes == (WidenColumn("n", BIG, rewrites=True),)
        widened = plan(self.current, self.wanted, replacing=True)
        assert widened.changes == (WidenColumn("n", BIG),)

    def test_a_history_is_never_replaced(self) -> None:
        assert refused(history(id=INT, n=TEXT), history(id=INT, n=BIG), replacing=True).column == "n"

    def test_freeze_stops(self) -> None:
        error = refused(self.current, self.wanted, policy=FREEZE)
        assert (error.column, error.found, error.wanted) == ("n", INT, BIG)

    def test_discard_loads_null(self) -> None:
        found = plan(self.current, self.wanted, policy=DISCARD)
        assert (set(found.nulled), list(found.changes)) == ({"n"}, [])
        rows, _ = fit(pa.table({"id": pa.array([1], INT), "n": pa.array([2], BIG)}), found)
        assert rows.column("n").to_pylist() == [None]
        assert rows.schema.field("n").type == INT

    def test_discard_refuses_rows_where_null_is_not_allowed(self) -> None:
        found = plan(mirror(id=INT, n=never_null(INT)), self.wanted, policy=DISCARD)
        assert found.rejects_null >= {"n"}

    def test_a_key_column_cannot_be_null(self) -> None:
        assert refused(mirror(id=INT), mirror(id=BIG), policy=DISCARD).column == "id"

    @pytest.mark.parametrize("policy", [EVOLVE, FREEZE, DISCARD], ids=["evolve", "freeze", "discard"])
    def test_a_narrower_column_goes_into_the_wider_one(self, policy: SchemaPolicy) -> None:
        found = plan(self.wanted, self.current, policy=policy)
        assert found.changes == ()
        rows, _ = fit(pa.table({"id": pa.array([1], INT), "n": pa.array([2], INT)}), found)
        assert rows.column("n").type == BIG

    def test_types_are_compared_as_the_destination_keeps_them(self) -> None:
        assert plan(self.current, mirror(id=INT, n=INT), policy=FREEZE).changes == ()
        text = mirror(id=INT, note=TEXT)
        assert plan(text, mirror(id=INT, note=pa.large_string()), policy=FREEZE).changes == ()


class TestNullability:
    current, wanted = mirror(id=INT, n=never_null(INT)), mirror(id=INT, n=INT)

    def test_evolve_allows_nulls(self) -> None:
        assert plan(self.current, self.wanted).changes == (WidenColumn("n", INT, nulls=True),)

    def test_evolve_widens_and_allows_nulls_at_once(self) -> None:
        found = plan(self.current, mirror(id=INT, n=BIG))
        assert found.changes == (WidenColumn("n", BIG, nulls=True),)

    def test_freeze_stops(self) -> None:
        error = refused(self.current, self.wanted, policy=FREEZE)
        assert error.column == "n"
        assert "nullability" in str(error.hint)

    def test_discard_refuses_rows_with_nulls(self) -> None:
        found = plan(self.current, self.wanted, policy=DISCARD)
        assert (list(found.changes), set(found.rejects_null)) == ([], {"id", "n"})
        given = pa.table(
            {
                "id": pa.array([1, 2, 3, 4], INT),
                "n": pa.array([7, None, None, None], INT),
                OP: ["u", "u", "u", "d"],
                UNCHANGED: pa.array([None, None, ["n"], None], UNCHANGED_TYPE),
            }
        )
        rows, [(lost, code, column)] = fit(given, found)
        assert rows.column("id").to_pylist() == [1, 3, 4]
        assert (lost.column("id").to_pylist(), code, column) == ([2], "null_not_allowed", "n")

    def test_a_column_that_is_never_null_may_stand_in_one_that_may(self) -> None:
        assert plan(self.wanted, self.current, policy=FREEZE).changes == ()

    def test_a_key_is_never_null_whatever_the_source_declares(self) -> None:
        assert plan(mirror(id=never_null(INT)), mirror(id=INT), policy=FREEZE).changes == ()


class TestAnnounced:
    """Changes in their order: what two lists of columns cannot tell."""

    def test_a_rename_keeps_the_values(self) -> None:
        found = plan(mirror(id=INT, a=TEXT), mirror(id=INT, b=TEXT), RenameColumn("a", "b"))
        assert found.changes == (RenameColumn("a", "b"),)

    def test_a_rename_and_a_widening(self) -> None:
        found = plan(mirror(id=INT, a=INT), mirror(id=INT, b=BIG), RenameColumn("a", "b"))
        assert found.changes == (RenameColumn("a", "b"), WidenColumn("b", BIG))

    def test_a_renamed_column_and_a_new_one_of_its_name(self) -> None:
        changes = (RenameColumn("a", "b"), AddColumn("a", INT, 1))
        found = plan(mirror(id=INT, a=TEXT), mirror(id=INT, b=TEXT, a=INT), *changes)
        assert found.changes == changes

    def test_a_swap_through_a_name_of_its_own(self) -> None:
        both = mirror(id=INT, a=TEXT, b=TEXT)
        swap = (RenameColumn("a", "spare"), RenameColumn("b", "a"), RenameColumn("spare", "b"))
        assert plan(both, both, *swap).changes == swap

    @pytest.mark.parametrize("axis", ["new_column", "removed_column"])
    def test_a_rename_is_both_a_new_and_a_removed_column_to_a_frozen_table(self, axis: str) -> None:
        policy = SchemaPolicy(**{axis: "freeze"})  # type: ignore[arg-type]
        error = refused(mirror(id=INT, a=TEXT), mirror(id=INT, b=TEXT), RenameColumn("a", "b"), policy=policy)
        assert (error.column, error.renamed_to) == ("a", "b")

    def test_a_rename_is_left_out_where_new_columns_are(self) -> None:
        found = plan(mirror(id=INT, a=TEXT), mirror(id=INT, b=TEXT), RenameColumn("a", "b"), policy=DISCARD)
        assert (list(found.changes), set(found.left_out)) == ([], {"b"})

    def test_a_rename_a_transform_hides_is_none(self) -> None:
        same = mirror(id=INT, a=TEXT)
        assert plan(same, same, RenameColumn("a", "b")).changes == ()
        assert plan(same, same, RenameColumn("x", "y"), DropColumn("x"), AddColumn("z", INT)).changes == ()

    def test_a_rename_of_the_case_only_is_none_where_names_fold(self) -> None:
        found = plan(mirror(id=INT, note=TEXT), mirror(id=INT, Note=TEXT), RenameColumn("note", "Note"))
        assert found.changes in ((), (RenameColumn("note", "Note"),))

    def test_a_column_that_comes_back_is_another_one_in_a_mirror(self) -> None:
        both = mirror(id=INT, a=TEXT)
        added = AddColumn("a", TEXT, "new")
        assert plan(both, both, added).changes == (DropColumn("a"), added)
        assert plan(both, both, DropColumn("a"), added).changes == (DropColumn("a"), added)

    def test_a_rename_takes_the_place_of_a_kept_column(self) -> None:
        found = plan(mirror(id=INT, a=TEXT, b=INT), mirror(id=INT, b=TEXT), RenameColumn("a", "b"))
        assert found.changes == (DropColumn("b"), RenameColumn("a", "b"))

    def test_a_history_keeps_what_it_has(self) -> None:
        both = history(id=INT, a=TEXT)
        assert plan(both, both, DropColumn("a"), AddColumn("a", TEXT, "new")).changes == ()
        found = plan(history(id=INT, a=TEXT, b=TEXT), history(id=INT, b=TEXT), RenameColumn("a", "b"))
        assert found.changes == ()

    def test_a_dropped_column_that_comes_back_stops_a_frozen_table(self) -> None:
        both = mirror(id=INT, a=TEXT)
        error = refused(both, both, DropColumn("a"), AddColumn("a", TEXT), policy=FREEZE)
        assert error.column == "a"


class TestNames:
    def test_a_source_column_with_a_reserved_name_is_refused(self) -> None:
        assert refused(None, mirror(id=INT, _ETL_op=TEXT)).column == "_ETL_op"

    def test_columns_that_the_destination_cannot_tell_apart_are_refused(self) -> None:
        error = refused(None, mirror(id=INT, Note=TEXT, note=TEXT))
        assert (error.column, error.other) == ("note", "Note")

    def test_a_repeated_name_is_refused(self) -> None:
        twice = TableSchema(ORDERS, pa.schema([("a", INT), ("a", INT)]))
        assert refused(None, twice).column == "a"

    def test_columns_meet_under_the_destinations_folding(self) -> None:
        assert plan(mirror(ID=INT, NOTE=TEXT), mirror(id=INT, note=TEXT), policy=FREEZE).changes == ()


class TestControl:
    def test_an_absent_table_is_made_as_wanted_under_every_policy(self) -> None:
        for policy in (EVOLVE, FREEZE, DISCARD):
            wanted = history(id=INT, n=BIG)
            assert plan(None, wanted, policy=policy) == Plan(wanted)

    def test_control_columns_may_be_among_the_tables_columns(self) -> None:
        wanted = mirror(SOFT, id=INT)
        found = TableSchema(ORDERS, columns(id=INT, _etl_deleted=pa.bool_()), ("id",))
        assert plan(found, wanted, policy=FREEZE).changes == ()

    @pytest.mark.parametrize("policy", [EVOLVE, DISCARD], ids=["evolve", "discard"])
    def test_soft_deletes_and_metadata_can_be_turned_on(self, policy: SchemaPolicy) -> None:
        control = pa.schema([*SOFT, (SEQ, SEQ_TYPE), (COMMIT_TS, COMMIT_TS_TYPE)])
        found = plan(mirror(id=INT), mirror(control, id=INT), policy=policy)
        assert found.changes == (
            AddColumn(DELETED, pa.bool_(), False),
            AddColumn(SEQ, SEQ_TYPE),
            AddColumn(COMMIT_TS, COMMIT_TS_TYPE),
        )

    def test_a_frozen_table_gets_no_control_columns(self) -> None:
        assert refused(mirror(id=INT), mirror(SOFT, id=INT), policy=FREEZE).column == DELETED

    def test_another_loaders_table_is_refused(self) -> None:
        assert refused(history(id=INT), mirror(id=INT)).found == "a history"
        assert refused(mirror(id=INT), history(id=INT)).found == "a mirror"

    def test_soft_deleted_rows_would_come_back_to_life(self) -> None:
        assert refused(mirror(SOFT, id=INT), mirror(id=INT)).found == "soft deletes"

    def test_metadata_that_is_no_longer_wanted_stays(self) -> None:
        with_seq = mirror(pa.schema([(SEQ, SEQ_TYPE)]), id=INT)
        assert plan(with_seq, mirror(id=INT), policy=FREEZE).changes == ()

    def test_a_historys_old_keys_widen_with_the_key(self) -> None:
        found = plan(history(id=INT), history(id=BIG))
        assert found.changes == (
            WidenColumn("id", BIG),
            WidenColumn(OLD_KEY, pa.struct([("id", BIG)])),
        )
        frozen = SchemaPolicy(type_change="freeze")
        assert refused(history(id=INT), history(id=BIG), policy=frozen).column == "id"

    def test_a_historys_old_keys_of_another_key_are_refused(self) -> None:
        other = TableSchema(ORDERS, columns(id=INT, n=INT), ("n",), reserved_schema(columns(n=INT), ["n"]))
        assert refused(history(id=INT, n=INT), other).column == OLD_KEY


class TestFit:
    def test_rows_that_fit_are_the_same_object(self) -> None:
        found = plan(mirror(id=INT), mirror(id=INT))
        rows = pa.table({"id": pa.array([1, 2], INT), OP: ["i", "u"]})
        assert fit(rows, found) == (rows, [])
        assert fit(rows, found)[0] is rows

    @pytest.mark.parametrize("current", [None, mirror(id=INT)], ids=["new table", "old table"])
    def test_a_mirror_refuses_rows_without_their_key(self, current: TableSchema | None) -> None:
        given = pa.table({"id": pa.array([None, 2, None], INT), OP: ["d", "u", "i"]})
        rows, [(lost, code, column)] = fit(given, plan(current, mirror(id=INT)))
        assert (rows.num_rows, lost.num_rows, code, column) == (1, 2, "null_key", "id")

    def test_a_history_takes_rows_without_a_key(self) -> None:
        given = pa.table({"id": pa.array([None], INT)})
        assert fit(given, plan(None, history(id=INT))) == (given, [])
