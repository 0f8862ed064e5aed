"""The stream of changes, on a real server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cdc_harness import Harness, plain, rows_of, seqs

from etl_core import COMMIT_TS, OLD_KEY, OP, UNCHANGED, Kind, key_of, unpack_seq
from etl_pglib.testing import Database

Make = Callable[..., Harness]
BIG = "repeat(md5(random()::text), 300)"


def stored_outside(pg: Database, table: str, key: str = "") -> None:
    """Make a table whose column `big` is kept out of line, and is not sent when it did not change."""
    pg.execute(
        f"create table {table} (id int primary key, v int, big text)",
        f"alter table {table} alter big set storage external",
        f"insert into {table} select n, n, {BIG} from generate_series(1, 3) n",
    )


@pytest.mark.parametrize("pg_version", [16, 18])
def test_a_snapshot_then_changes(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key, v text)", "insert into t values (1, 'one'), (2, null)")
    source = cdc().start()
    end = source.batch(Kind.SNAPSHOT_END)
    assert [batch.kind for batch in source.batches] == [Kind.SNAPSHOT_BEGIN, Kind.ROWS, Kind.SNAPSHOT_END]
    assert end.position["streams"]["public.t"]["snapshot"]
    pg.execute(
        r"insert into t values (3, E'a\tb\\')",
        "update t set v = 'two' where id = 2",
        "delete from t where id = 1",
    )
    assert plain(source.rows(5)) == [
        ("r", 1, "one"),
        ("r", 2, None),
        ("i", 3, "a\tb\\"),
        ("u", 2, "two"),
        ("d", 1, None),
    ]


def test_begin_says_schema_and_key_and_streams_the_same(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (b int, v text, a int, primary key (a, b))")
    source = cdc()
    (info,) = source.source.streams(source.context())
    begin = source.start().batch(Kind.SNAPSHOT_BEGIN)
    assert begin.schema == info.schema
    assert key_of(info.schema) == info.key == begin.key == ("a", "b")
    assert info.stable_seq


def test_sequences_rise_and_are_unique_over_snapshot_and_stream(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key)", "create table s (id int primary key)",
        "insert into t select generate_series(1, 10)",
    )  # fmt: skip
    source = cdc().start(epoch=7)
    source.until(lambda: len([b for b in source.batches if b.kind is Kind.SNAPSHOT_END]) == 2)
    pg.execute("insert into t values (11); insert into s values (1); insert into t values (12); truncate t")
    source.batch(Kind.TRUNCATE)
    source.until(lambda: source.batches[-1].position)
    for stream in {stream for stream, _ in seqs(source.batches)}:
        own = [seq for other, seq in seqs(source.batches) if other == stream]
        assert own == sorted(set(own))
        assert {unpack_seq(seq)[0] for seq in own} == {7}
    last = [unpack_seq(seq)[2] for _, seq in seqs(source.batches)][-4:]
    assert sorted(last) == [2, 4, 6, 8], "rows count over all tables of a transaction, twice each"


def test_a_commits_time_comes_with_each_row(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    before = datetime.now(UTC)
    pg.execute("insert into t values (1)")
    (row,) = source.rows(1)
    assert before <= row[COMMIT_TS] <= datetime.now(UTC)


def test_rolled_back_changes_never_come(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    with pg.connect() as other:
        other.execute("begin; insert into t values (1); rollback")
        other.execute("begin; insert into t values (2); savepoint s; insert into t values (3)")
        other.execute("rollback to s; insert into t values (4); commit")
    rows = source.rows(2)
    assert plain(rows) == [("i", 2), ("i", 4)]
    assert [unpack_seq(row["_etl_seq"])[2] for row in rows] == [2, 4], "aborted rows are not counted"


def test_a_key_change_is_one_row_with_the_old_key(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (a int, b text, v int, primary key (b, a))", "insert into t values (1, 'x', 1)"
    )
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("update t set b = 'y' where a = 1", "update t set v = 2", "delete from t")
    rows = source.rows(4)[1:]
    assert plain(rows) == [("u", 1, "y", 1), ("u", 1, "y", 2), ("d", 1, "y", None)]
    assert [row[OLD_KEY] for row in rows] == [{"b": "x", "a": 1}, None, None]


def test_unchanged_toast_is_named_and_null(pg: Database, cdc: Make) -> None:
    stored_outside(pg, "t")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute(
        "update t set v = 10 where id = 1", "update t set id = 20 where id = 2", "update t set big = 'b'"
    )
    changed, moved, *rest = source.rows(8)[3:]
    assert (changed["v"], changed["big"], changed[UNCHANGED]) == (10, None, ["big"])
    assert (moved["id"], moved["big"], moved[UNCHANGED], moved[OLD_KEY]) == (20, None, ["big"], {"id": 2})
    assert [row[UNCHANGED] for row in rest] == [None] * 3


def test_under_full_identity_unchanged_values_are_filled_in(pg: Database, cdc: Make) -> None:
    stored_outside(pg, "t")
    pg.execute("alter table t replica identity full")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    (before,) = pg.query("select big from t where id = 1")
    pg.execute(
        "update t set v = 10 where id = 1", "update t set id = 5 where id = 1", "delete from t where id = 5"
    )
    changed, moved, gone = source.rows(6)[3:]
    assert (changed["v"], changed["big"], changed[UNCHANGED], changed[OLD_KEY]) == (10, before[0], None, None)
    assert (moved["id"], moved[OLD_KEY]) == (5, {"id": 1})
    assert (gone["id"], gone["v"], gone["big"]) == (5, None, None), "a delete carries the key only"


def test_an_index_as_identity_is_the_key(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key, code text not null, v int)",
        "create unique index t_code on t (code)",
        "alter table t replica identity using index t_code",
        "insert into t values (1, 'a', 1)",
    )
    source = cdc().start()
    assert source.batch(Kind.SNAPSHOT_BEGIN).key == ("code",)
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("update t set id = 2", "update t set code = 'b'", "delete from t")
    rows = source.rows(4)[1:]
    assert [row[OLD_KEY] for row in rows] == [None, {"code": "a"}, None]
    assert plain(rows)[-1] == ("d", None, "b", None)


def test_without_a_key_a_deleted_row_comes_whole(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (a int, b text)",
        "alter table t replica identity full",
        "insert into t values (1, 'x')",
    )
    source = cdc().start()
    assert source.batch(Kind.SNAPSHOT_BEGIN).key == ()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("update t set b = 'y'", "delete from t")
    assert plain(source.rows(3)) == [("r", 1, "x"), ("u", 1, "y"), ("d", 1, "y")]


def test_identity_nothing_lets_inserts_through(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int)", "alter table t replica identity nothing")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("insert into t values (1)")
    assert plain(source.rows(1)) == [("i", 1)]


def test_a_key_kept_out_of_line_is_filled_in(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (k text primary key, v int)",
        "alter table t alter k set storage external",
        "insert into t values (repeat('k', 2500), 1)",
    )
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("update t set v = 2")
    row = source.rows(2)[1]
    assert (row["k"], row[UNCHANGED], row[OLD_KEY]) == ("k" * 2500, None, None)


def test_truncate_comes_in_order_for_each_table(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "create table b (id int primary key)")
    source = cdc().start()
    source.until(lambda: len([x for x in source.batches if x.kind is Kind.SNAPSHOT_END]) == 2)
    start = len(source.batches)
    pg.execute("insert into a values (1); insert into b values (1); truncate a, b; insert into a values (2)")
    source.until(lambda: len(rows_of(source.batches)) == 3 and source.batches[-1].position)
    came = [(batch.kind, str(batch.stream)) for batch in source.batches[start:]]
    for table in ("public.a", "public.b"):
        own = [kind for kind, stream in came if stream == table]
        assert own[:2] == [Kind.ROWS, Kind.TRUNCATE]
    assert plain(rows_of(source.batches[-1:])) == [("i", 2)]


def test_a_lone_truncate_gets_a_position(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("truncate a")
    source.batch(Kind.TRUNCATE)
    progress = source.batch(Kind.PROGRESS)
    rest = cdc().start(progress.position)
    pg.execute("insert into a values (1)")
    source.close()
    assert plain(rest.rows(1)) == [("i", 1)]


def test_small_transactions_travel_together(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    with pg.connect() as other:
        for number in range(200):
            other.execute("insert into t values (%s)", [number])
    start = len(source.batches)
    source.rows(200)
    assert len(source.batches) - start < 50


def test_partitions_arrive_as_their_table(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key, v int) partition by range (id)",
        "create table t1 partition of t for values from (0) to (10)",
        "create table t2 (v int, id int not null)",
        "alter table t attach partition t2 for values from (10) to (20)",
        "insert into t values (1, 1), (11, 2)",
    )
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("insert into t values (12, 3)", "update t set id = 13 where id = 1", "truncate t")
    source.batch(Kind.TRUNCATE)
    rows = rows_of(source.batches)
    assert {str(batch.stream) for batch in source.batches if batch.stream} == {"public.t"}
    assert sorted(plain(rows[:2])) == [("r", 1, 1), ("r", 11, 2)]
    assert plain(rows[2:]) == [("i", 12, 3), ("d", 1, None), ("i", 13, 1)]


def test_column_lists_and_row_filters_hold_for_the_snapshot_too(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key, secret text, v int)",
        "insert into t values (1, 's', 1), (2, 's', 2)",
        "create publication mine for table t (id, v) where (id > 1)",
    )
    source = cdc(publication="mine").start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("insert into t values (0, 's', 0), (3, 's', 3)")
    assert plain(source.rows(2)) == [("r", 2, 2), ("i", 3, 3)]


def test_generated_columns_are_left_out(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key, twice int generated always as (id * 2) stored, v int)",
        "insert into t (id, v) values (1, 1)",
    )
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("insert into t (id, v) values (2, 2)")
    assert plain(source.rows(2)) == [("r", 1, 1), ("i", 2, 2)]


def test_snapshot_and_stream_give_the_same_values_and_types(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create type mood as enum ('ok', 'so so')",
        "create table t (id int primary key, n numeric(8,2), u uuid, j jsonb, a text[], m mood, b bytea,"
        " ts timestamptz, f float8, x text)",
    )
    values = (
        "12.50, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1, null]}', "
        "array['a,b', null, E'q\"\\\\'], 'so so', "
        "'\\x00ff', '2024-02-29 12:00:00.5+02', 'NaN', E'\\b\\n\\\\N'"
    )
    pg.execute(f"insert into t values (1, {values})", "insert into t values (2)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute(f"insert into t values (3, {values})", "insert into t values (4)")

    def data(row: dict[str, Any]) -> str:
        return repr({name: v for name, v in row.items() if not name.startswith("_etl_") and name != "id"})

    first, second, third, fourth = map(data, source.rows(4))
    assert (first, second) == (third, fourth)
    rows = [batch.rows for batch in source.batches if batch.rows is not None]
    assert rows[0].schema == rows[1].schema


def test_tables_outside_the_patterns_are_left_out(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key)",
        'create table "Odd.name" (id int primary key)',
        "create table other (id int primary key)",
        "create publication every for all tables",
    )
    source = cdc("public.t", 'public."Odd*', publication="every").start()
    source.until(lambda: len([x for x in source.batches if x.kind is Kind.SNAPSHOT_END]) == 2)
    pg.execute('insert into other values (1); insert into "Odd.name" values (2)')
    (row,) = source.rows(1)
    assert (row[OP], row["id"]) == ("i", 2)
    assert {str(batch.stream) for batch in source.batches if batch.stream} == {
        "public.t",
        'public."Odd.name"',
    }
