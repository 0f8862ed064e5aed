"""Schema changes in the middle of the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest
from cdc_harness import Harness, plain, rows_of

from etl_core import AddColumn, Batch, Change, DropColumn, Kind, RenameColumn, WidenColumn, unpack_seq
from etl_pglib.testing import Database

Make = Callable[..., Harness]


def schemas(source: Harness) -> list[Batch]:
    return [batch for batch in source.batches if batch.kind is Kind.SCHEMA and batch.changes]


@pytest.fixture
def changed(pg: Database, cdc: Make) -> Callable[..., Sequence[Change]]:
    """A function that makes a table, alters it and returns the changes that came, before the next row."""

    def alter(
        *statements: str, table: str = "id int primary key, a int, b text", live: bool = True
    ) -> Sequence[Change]:
        pg.execute(f"create table t ({table})", "insert into t values (1)")
        source = cdc().start()
        source.batch(Kind.SNAPSHOT_END)
        if live:
            source.next()
        pg.execute(*statements, "insert into t values (2)")
        (*_, row) = source.rows(2)
        assert row["id"] == 2
        return [change for batch in schemas(source) for change in batch.changes]

    return alter


Changed = Callable[..., Sequence[Change]]


def test_an_added_column_brings_its_default(changed: Changed) -> None:
    assert changed(
        "alter table t add c int",
        "alter table t add d text default 'x' || '\u00e9'",
        "alter table t add e numeric(6,2) default 1.5, add f date default '2024-02-29'",
        "alter table t add g int[] default '{1,2}'",
    ) == [
        AddColumn("c", pa.int32()),
        AddColumn("d", pa.string(), "x\u00e9"),
        AddColumn("e", pa.decimal128(6, 2), Decimal("1.50")),
        AddColumn("f", pa.date32(), date(2024, 2, 29)),
        AddColumn("g", pa.list_(pa.int32()), [1, 2]),
    ]


def test_a_default_that_differs_per_row_rewrites(changed: Changed) -> None:
    assert changed("alter table t add c float8 default random()", "alter table t add d serial") == [
        AddColumn("c", pa.float64(), rewrites=True),
        AddColumn("d", pa.int32(), rewrites=True),
    ]


def test_a_default_that_was_dropped_again_is_still_what_old_rows_have(changed: Changed) -> None:
    assert changed(
        "alter table t add c int not null default 5",
        "alter table t alter c drop default, alter c drop not null",
    ) == [AddColumn("c", pa.int32(), 5)]


def test_a_rename_is_told_from_drop_and_add(changed: Changed) -> None:
    assert changed("alter table t rename a to z", "alter table t drop b", "alter table t add b text") == [
        DropColumn("b"),
        RenameColumn("a", "z"),
        AddColumn("b", pa.string()),
    ]


def test_dropping_and_adding_the_same_column_is_seen(changed: Changed) -> None:
    assert changed("alter table t drop b", "alter table t add b text") == [
        DropColumn("b"),
        AddColumn("b", pa.string()),
    ]


def test_names_can_be_swapped(changed: Changed) -> None:
    assert changed(
        "begin; alter table t rename a to x; alter table t rename b to a; alter table t rename x to b; commit"
    ) == [RenameColumn("a", "a__renaming"), RenameColumn("b", "a"), RenameColumn("a__renaming", "b")]


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("smallint", "int", WidenColumn("c", pa.int32())),
        ("int", "bigint", WidenColumn("c", pa.int64())),
        ("real", "double precision", WidenColumn("c", pa.float64())),
        ("numeric(6,2)", "numeric(10,4)", WidenColumn("c", pa.decimal128(10, 4))),
        ("varchar(5)", "varchar(50)", None),
        ("varchar(5)", "text", None),
        ("varchar(50)", "varchar(5)", WidenColumn("c", pa.string(), rewrites=True)),
        ("numeric(6,2)", "numeric(6,1)", WidenColumn("c", pa.decimal128(6, 1), rewrites=True)),
        ("int", "text", WidenColumn("c", pa.string(), rewrites=True)),
        ("date", "timestamp", WidenColumn("c", pa.timestamp("us"), rewrites=True)),
        ("bigint", "int", WidenColumn("c", pa.int32(), rewrites=True)),
    ],
)
def test_types_that_change(changed: Changed, before: str, after: str, change: Change | None) -> None:
    found = changed(f"alter table t alter c type {after}", table=f"id int primary key, c {before}")
    assert found == ([change] if change else [])


def test_the_new_type_is_known_at_the_next_start_without_a_marker(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key, c varchar(5))")
    source = cdc()
    source.once()
    pg.execute("alter table t alter c type text", "insert into t values (1, 'longer than five')")
    source.once(source.position)
    assert source.position["streams"]["public.t"]["columns"][1][2] == 25
    assert schemas(source) == []


def test_a_marker_has_the_sequence_before_its_row_and_the_position_before_it(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key)", "create table s (id int primary key)")
    source = cdc()
    source.once()
    pg.execute(
        "insert into s values (1); insert into t values (1);"
        "alter table t add c int; insert into t values (2, 2)"
    )
    source.once(source.position)
    (marker,) = schemas(source)
    assert marker.seq is not None
    epoch, lsn, ordinal = unpack_seq(marker.seq)
    row = rows_of(source.batches, "public.t")[-1]
    assert ordinal == 5
    assert unpack_seq(row["_etl_seq"]) == (epoch, lsn, 6)
    assert marker.position["transaction"]["ordinal"] == 2
    assert not marker.complete
    assert marker.schema is not None
    assert marker.schema.names == ["id", "c"]
    assert marker.key == ("id",)


def test_a_backlog_is_read_with_the_columns_of_its_time(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key, a int, b text)")
    source = cdc()
    source.once()
    pg.execute(
        "insert into t values (1, 1, 'b')",
        "alter table t add c int default 3", "insert into t values (2, 2, 'b', 4)",
        "alter table t rename c to d", "insert into t values (3, 3, 'b', 5)",
        "alter table t drop a", "insert into t values (4, 'b', 6)",
        "alter table t alter d type bigint", "insert into t values (5, 'b', 7)",
        "alter table t rename b to a", "insert into t values (6, 'b', 8)",
        "alter table t drop d", "alter table t add d int", "insert into t values (7, 'b', 9)",
    )  # fmt: skip
    source.once(source.position)
    changes = [list(batch.changes) for batch in schemas(source)]
    assert changes == [
        [AddColumn("c", pa.int32())],
        [RenameColumn("c", "d")],
        [DropColumn("a")],
        [WidenColumn("d", pa.int64())],
        [RenameColumn("b", "a")],
        [DropColumn("d"), AddColumn("d", pa.int32())],
    ], "of the default of a column that is gone, nothing is known any more"
    assert plain(rows_of(source.batches))[-2:] == [("i", 6, "b", 8), ("i", 7, "b", 9)]


def test_a_renamed_key_stays_the_key(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key, v int)")
    source = cdc()
    source.once()
    pg.execute("insert into t values (1, 1)", "alter table t rename id to nr", "update t set nr = 2")
    again = source.once(source.position)
    announced, renamed = [batch for batch in again if batch.kind is Kind.SCHEMA]
    assert (announced.key, announced.changes) == (("id",), ()), "the catalog is ahead of the position"
    assert (renamed.key, renamed.changes) == (("nr",), (RenameColumn("id", "nr"),))
    assert rows_of(again)[-1]["_etl_old_key"] == {"nr": 1}


def test_another_key_means_another_snapshot(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key, code int not null)", "insert into t values (1, 10)")
    source = cdc(refresh=3600.0).start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("alter table t drop constraint t_pkey, add primary key (code)", "insert into t values (1, 20)")
    begin = source.batch(Kind.SNAPSHOT_BEGIN, after=3)
    assert begin.key == ("code",)
    source.batch(Kind.SNAPSHOT_END, after=source.batches.index(begin))
    pg.execute("insert into t values (1, 30)")
    assert plain(source.rows(4)) == [("r", 1, 10), ("r", 1, 10), ("r", 1, 20), ("i", 1, 30)]


def test_a_table_that_changes_while_it_is_to_be_copied_is_copied_as_it_is_then(
    pg: Database, cdc: Make
) -> None:
    pg.execute(
        "create table a (id int primary key)", "insert into a values (1)",
        "create table b (id int primary key, v int)", "insert into b values (1, 1)",
    )  # fmt: skip
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    assert str(source.batches[-1].stream) == "public.a"
    pg.execute("alter table b alter v type bigint using v * 2", "insert into b values (2, 2)")
    source.until(lambda: len([x for x in source.batches if x.kind is Kind.SNAPSHOT_END]) == 2)
    assert plain(rows_of(source.batches, "public.b")) == [("r", 1, 2), ("r", 2, 2)]


def test_a_table_dropped_before_its_copy_is_forgotten(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "create table b (id int primary key)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("drop table b", "insert into a values (1)")
    assert plain(source.rows(1)) == [("i", 1)]
    assert list(source.position["streams"]) == ["public.a"]
