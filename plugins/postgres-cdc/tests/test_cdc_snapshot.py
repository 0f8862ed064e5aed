"""Copies of tables: in parts, in order, and interrupted."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from cdc_harness import Harness, plain, rows_of, seqs

from etl_core import Kind, RetryableError, unpack_seq
from etl_pglib.testing import Database
from etl_postgres_cdc import copying, decoding, ranges, reading

Make = Callable[..., Harness]


@pytest.mark.parametrize("readers", [1, 3])
def test_parts_are_read_side_by_side_and_come_in_order(
    pg: Database, cdc: Make, monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    monkeypatch.setattr(ranges, "_RANGE", 8192)
    monkeypatch.setattr(decoding, "MAX_ROWS", 7)
    pg.execute(
        "create table t (id int primary key, v text)",
        "insert into t select n, repeat('x', 500) from generate_series(1, 100) n",
    )
    source = cdc(snapshot_readers=readers).start()
    source.batch(Kind.SNAPSHOT_END)
    rows = rows_of(source.batches)
    assert [row["id"] for row in rows] == list(range(1, 101))
    found = [unpack_seq(seq) for _, seq in seqs(source.batches)]
    assert found == sorted(found)
    assert len({ordinal >> 40 for _, _, ordinal in found[1:-1]}) > 5
    assert found[0][2] == 0
    assert found[-1][2] == 2**64 - 1


def test_a_position_inside_a_copy_starts_the_table_again(
    pg: Database, cdc: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MAX_ROWS", 2)
    pg.execute("create table t (id int primary key)", "insert into t select generate_series(1, 9)")
    source = cdc().start()
    source.batch(Kind.ROWS)
    first = source.batches[0].seq
    pg.execute("update t set id = 100 where id = 9")
    source.start(source.position)
    start = len(source.batches)
    source.batch(Kind.SNAPSHOT_END, after=start)
    again = source.batches[start:]
    assert again[0].kind is Kind.SNAPSHOT_BEGIN
    assert again[0].seq is not None
    assert first is not None
    assert again[0].seq > first
    assert sorted(row["id"] for row in rows_of(again)) == [*range(1, 9), 100]


def test_a_snapshot_that_is_gone_is_a_reason_to_retry(pg: Database, cdc: Make) -> None:
    pg.execute("create table a (id int primary key)", "create table b (id int primary key)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.query(
        "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots"
        " where temporary and database = current_database()"
    )
    with pytest.raises(RetryableError, match="snapshot is gone"):
        source.until(lambda: False)
    source.start(source.position)
    source.until(lambda: len([x for x in source.batches if x.kind is Kind.SNAPSHOT_END]) == 2)


def test_a_value_that_does_not_fit_names_its_column_and_stops_every_thread(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key, n numeric(4,1))", "insert into t values (1, 'NaN')")
    source = cdc().start()
    with pytest.raises(Exception, match="cannot be held exactly") as error:
        source.until(lambda: False)
    assert "column=n" in str(error.value)
    source.close()
    text = cdc(as_text=["numeric"]).start()
    text.batch(Kind.SNAPSHOT_END)
    assert plain(rows_of(text.batches)) == [("r", 1, "NaN")]


def test_a_lagging_copy_does_not_lock_the_table(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key)", "insert into t values (1)")
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("set lock_timeout = '5s'; alter table t add v int; insert into t values (2, 2)")
    assert len(source.rows(2)) == 2


def test_a_heartbeat_needs_no_privilege(pg: Database) -> None:
    role = f"beats_{pg.name}"
    pg.execute(
        "create table t (id int primary key)",
        f"create role {role} login replication",
        f"grant select on t to {role}",
        "do $$ begin execute (select string_agg('revoke execute on function ' || oid::regprocedure ||"
        " ' from public;', '') from pg_proc where proname = 'pg_logical_emit_message'); end $$",
        "create publication mine for table t",
    )
    source = Harness(pg.dsn.replace("postgres@", f"{role}@"), ["public.t"], publication="mine")
    source.once()
    pg.execute("insert into t values (1)")
    assert plain(rows_of(source.once(source.position))) == [("i", 1)]


def test_a_part_is_read_on_in_the_same_order_whatever_the_planner_has_learned_since(
    pg: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_ROWS", 100)
    monkeypatch.setattr(decoding, "MAX_ROWS", 100)
    pg.execute(
        "create table t (id int primary key, v int, x text) with (autovacuum_enabled = off)",
        "alter table t replica identity full",
        "create index on t (v)",
        "insert into t select n, 18000 - n, repeat('x', 750) from generate_series(1, 18000) n",
        f"alter database {pg.name} set random_page_cost = 1.5",
        "create publication p for table t where (v < 15000 and v >= 0)",
    )
    put = copying.Copying._put
    broken: list[int] = []

    def put_and_break(self: copying.Copying, out: copying.Out, batch: pa.RecordBatch | None) -> None:
        put(self, out, batch)
        if batch is not None and not broken:
            copies = "query like 'COPY%' and pid <> pg_backend_pid() and datname = current_database()"
            pg.execute("analyze t")
            broken.extend(pid for (pid,) in pg.query(f"select pid from pg_stat_activity where {copies}"))
            pg.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {copies}")

    monkeypatch.setattr(copying.Copying, "_put", put_and_break)
    source = Harness(pg.dsn, ["public.t"], publication="p", snapshot_readers=1).start()
    source.batch(Kind.SNAPSHOT_END)
    source.close()
    assert broken
    wanted = [n for (n,) in pg.query("select id from t where v < 15000 and v >= 0")]
    assert sorted(row["id"] for row in rows_of(source.batches)) == sorted(wanted)


def test_types_of_a_schema_that_the_role_may_not_use_are_copied_as_they_print(pg: Database) -> None:
    role = f"reader_{pg.name}"
    pg.execute(
        "create schema hidden",
        "create type hidden.mood as enum ('glad', 'sad')",
        "create type hidden.pair as (a int, b text)",
        "create table t (id int primary key, m hidden.mood, l hidden.mood[], p hidden.pair, c char(4))",
        "alter table t add i inet",
        "insert into t values (1, 'sad', '{glad,sad}', row(null, null), 'x', '10.0.0.1')",
        "insert into t values (2)",
        f"create role {role} login",
        f"grant select on t to {role}",
    )
    source = Harness(pg.dsn.replace("postgres@", f"{role}@"), ["public.t"], snapshot="only").start()
    source.batch(Kind.SNAPSHOT_END)
    rows = plain(source.rows(2))
    source.close()
    pg.execute(f"drop owned by {role}", f"drop role {role}")
    assert rows == [
        ("r", 1, "sad", ["glad", "sad"], "(,)", "x   ", "10.0.0.1"),
        ("r", 2, None, None, None, None, None),
    ]
