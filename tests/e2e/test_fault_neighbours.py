"""Other users of the same server: a second pipeline, a busy database, messages in the WAL."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.live import Copy
from support.servers import database

from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

TABLE = "create table t (id int primary key, v text)"


def test_two_pipelines_follow_one_database(pg: Database, tmp_path: Path) -> None:
    pg.execute(TABLE, "insert into t select n, 'x' from generate_series(1, 50) n")
    mirror = Copy(pg, tmp_path)
    history = Copy(pg, tmp_path, name=f"{pg.name}_history", load="append")
    with mirror.running() as first, history.running() as second:
        first.until(mirror.streaming)
        second.until(history.streaming)
        pg.execute("insert into t values (100, 'both')", "update t set v = 'y' where id <= 10")
        first.wait_rows(61)
        second.wait_rows(61)
    pg.execute("delete from t where id <= 10")
    mirror.once()
    mirror.assert_equal()
    history.once()
    assert history.select("select count(*), count(distinct _etl_seq) from public.t") == [(71, 71)]


def test_pipelines_whose_names_are_alike_do_not_take_each_others_slot(pg: Database, tmp_path: Path) -> None:
    """A slot's name has fewer letters than a pipeline's, and no room for long ones."""
    pg.execute(TABLE, "insert into t values (1, 'x')")
    long = f"{pg.name}_".ljust(63, "x")
    names = [f"{pg.name}-a", f"{pg.name}_a", f"{pg.name}.a", f"{pg.name}_A", f"{long}1", f"{long}2"]
    copies = [Copy(pg, tmp_path / str(number), name=name) for number, name in enumerate(names)]
    for copy in copies:
        copy.directory.mkdir()
        copy.once()
    pg.execute("insert into t values (2, 'y')")
    for copy in copies:
        copy.once()
        copy.assert_equal()
    slots = pg.query("select count(*) from pg_replication_slots where database = current_database()")
    assert slots == [(len(names),)]


def test_a_busy_neighbour_does_not_make_an_idle_slot_hold_back_wal(pg: Database, tmp_path: Path) -> None:
    pg.execute(TABLE, "insert into t values (1, 'x')")
    copy = Copy(pg, tmp_path, extract={"heartbeat": 0.2})
    confirmed = f"select confirmed_flush_lsn from pg_replication_slots where slot_name = '{copy.slot}'"
    with database(pg.server) as busy, copy.running() as live:
        live.until(copy.streaming)
        busy.execute("create table noise as select n, repeat('x', 500) from generate_series(1, 20000) n")
        ((end,),) = pg.query("select pg_current_wal_lsn()::text")
        live.until(lambda: pg.query(f"select ({confirmed}) >= '{end}'::pg_lsn") == [(True,)])
        assert live.written() == 1


def test_messages_in_the_wal_are_passed_over(pg: Database, tmp_path: Path) -> None:
    """Others use messages as heartbeats too, in transactions and outside of them."""
    pg.execute(TABLE, "insert into t values (1, 'x')")
    copy = Copy(pg, tmp_path, load="append")
    copy.once()
    emit = "select pg_logical_emit_message({}, 'somebody', repeat('m', 10000))"
    pg.execute(
        emit.format("true"),
        emit.format("false"),
        f"insert into t values (2, 'y'); {emit.format('true')}; {emit.format('false')}; update t set v = 'z'",
        f"begin; {emit.format('true')}; savepoint s; {emit.format('true')}; rollback to s; commit",
    )
    copy.once()
    rows = copy.select("select _etl_op::varchar, id, v from public.t order by _etl_seq")
    assert rows == [("r", 1, "x"), ("i", 2, "y"), ("u", 1, "z"), ("u", 2, "z")]
