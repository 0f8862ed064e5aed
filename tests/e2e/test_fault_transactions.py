"""Transactions that the server sends while they go on: what is rolled back never arrives, the rest does once.

A small `logical_decoding_work_mem` makes the server send blocks of any transaction of some size before it is
known what becomes of it; a setting for developers makes it do so for each change. Whatever the protocol: the
mirror is what the source has, and the history adds up to it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.live import Copy
from support.shop import Shop, wait_until

from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)


TABLES = (
    "create table t (id int primary key, v int, pad text)",
    "create table u (id int primary key, v int, pad text)",
    "insert into t select n, 0, 'there' from generate_series(-200, -1) n",
)
#: `many(first, table)` inserts rows with keys from `first` on.
MANY = """
create function many(first int, tab text default 't') returns void language plpgsql as $$ begin
    execute format('insert into %s select n, 1, repeat(md5(n::text), 4) from generate_series(%s, %s) n',
                   tab::regclass, first, first + {rows} - 1);
end $$
"""
#: A column that comes later: what was said of rows before is without it.
LATER = "w"
#: Rows that are some hundred kilobytes of changes, and few.
BLOCKS, FEW = 1500, 200


CONFLICTING = "insert into t select n, 2, repeat(md5(n::text), 3) from generate_series({}, {}) n on conflict"
#: What is done, by connection: a number before a statement says which; 0 is one without transactions.
SCENARIOS: dict[str, Sequence[str]] = {
    "aborted savepoints": (
        "1 begin",
        "1 select many(0)",
        "1 savepoint a",
        "1 select many(10000)",
        "1 update t set v = 7",
        "1 rollback to a",
        "1 select many(20000)",
        "1 savepoint a",
        "1 delete from t where id < 0",
        "1 select many(25000)",
        "1 rollback to a",
        "1 select many(30000)",
        "1 commit",
        "0 update t set v = 2 where id % 100 = 0",
    ),
    "nested savepoints": (
        "1 begin",
        "1 select many(0)",
        "1 savepoint a",
        "1 select many(10000)",
        "1 savepoint b",
        "1 select many(20000)",
        "1 release b",
        "1 savepoint c",
        "1 select many(30000)",
        "1 rollback to c",
        "1 select many(40000)",
        "1 rollback to a",
        "1 select many(50000)",
        "1 savepoint d",
        "1 select many(60000)",
        "1 savepoint e",
        "1 select many(70000)",
        "1 release d",
        "1 commit",
    ),
    "many savepoints": (
        "1 begin",
        *(
            f"1 savepoint s; insert into t select {n * 100} + g, {n}, repeat('x', 40)"
            f" from generate_series(1, 90) g; {'rollback to' if n % 3 == 0 else 'release'} s"
            for n in range(45)
        ),
        "1 commit",
    ),
    "interleaved": (
        "1 begin",
        "2 begin",
        "1 select many(0)",
        "2 savepoint s; select many(100000); select many(0, 'u')",
        "0 insert into u values (-1, 9, 'between')",
        "1 select many(10000)",
        "2 savepoint s; select many(110000); select many(10000, 'u')",
        "2 rollback to s",
        "1 savepoint s; select many(20000)",
        "0 insert into u values (-2, 9, 'between')",
        "2 select many(120000)",
        "2 update t set v = 5 where id >= 100000",
        "1 rollback to s",
        "2 commit",
        "0 update t set v = 3 where id >= 100000 and id % 3 = 0",
        "1 update t set v = 6 where id < 0",
        "1 commit",
    ),
    "rolled back": (
        "1 begin",
        "1 select many(0)",
        "1 select many(0, 'u')",
        "1 truncate u",
        "1 delete from t",
        "1 rollback",
        "0 insert into u values (1, 1, 'after')",
        "1 begin",
        "1 select many(0)",
        "1 update t set id = id + 500000 where id < 0",
        "1 rollback",
        "0 update t set v = 3 where id = -1",
    ),
    "schema change before": (
        "0 alter table t add w int default 5",
        "1 begin",
        "1 select many(0)",
        "1 update t set w = 6 where id % 2 = 0",
        "1 select many(0, 'u')",
        "1 commit",
        "0 alter table t drop pad",
        "1 begin",
        "1 insert into t select n, 1, 2 from generate_series(90000, 99999) n",
        "1 commit",
    ),
    "schema change inside": (
        "1 begin",
        "1 select many(0)",
        "1 alter table t add w int default 5",
        "1 update t set w = 6 where id % 2 = 0",
        "1 select many(10000)",
        "1 alter table t rename v to vv",
        "1 select many(20000)",
        "1 commit",
        "0 update t set vv = 4 where id < 0",
    ),
    "schema change rolled back": (
        "1 begin",
        "1 select many(0)",
        "1 savepoint a",
        "1 alter table t add w int default 5",
        "1 update t set w = 6",
        "1 insert into t select n, 1, 'w', 8 from generate_series(90000, 93000) n",
        "1 rollback to a",
        "1 select many(10000)",
        "1 update t set v = 9 where id % 7 = 0",
        "1 commit",
        "1 begin",
        "1 select many(20000)",
        "1 commit",
    ),
    "truncated": (
        "1 begin",
        "1 select many(0)",
        "1 select many(0, 'u')",
        "1 truncate t",
        "1 select many(10000)",
        "1 savepoint a",
        "1 truncate t, u",
        "1 select many(20000)",
        "1 rollback to a",
        "1 select many(30000)",
        "1 truncate u",
        "1 insert into u values (1, 1, 'x')",
        "1 commit",
    ),
    # Values kept out of line are not sent again by an update that leaves them.
    "large values": (
        "0 alter table t alter pad set storage external",
        "0 update t set pad = repeat(md5(id::text), 200)",
        "1 begin",
        "1 update t set v = v + 1",
        "1 update t set v = v + 1 where id % 2 = 0",
        "1 savepoint a",
        "1 update t set pad = repeat('gone', 1000)",
        "1 rollback to a",
        "1 update t set id = id - 1000 where id % 10 = 0",
        "1 update t set pad = repeat('new', 1000) where id % 9 = 0",
        "1 update t set v = v + 1",
        "1 commit",
    ),
    # The server describes a table once per transaction, be it in a part that is rolled back.
    "first seen where it is rolled back": (
        "1 begin",
        "1 savepoint a",
        "1 select many(0, 'u')",
        "1 rollback to a",
        "1 select many(10000, 'u')",
        "1 update u set v = 8 where id % 5 = 0",
        "1 savepoint a",
        "1 select many(0)",
        "1 rollback to a",
        "1 select many(10000)",
        "1 commit",
        "0 insert into u values (-1, 1, 'after')",
        "0 update t set v = 8 where id = -1",
    ),
    "keys that move": (
        "1 begin",
        "1 select many(0)",
        "1 update t set id = id + 1000000 where id % 2 = 0",
        "1 savepoint a",
        "1 update t set id = id - 2000000",
        "1 rollback to a",
        "1 update t set id = -id - 3000 where id >= 1000000",
        "1 delete from t where id % 3 = 0",
        "1 insert into t values (0, 1, 'again')",
        "1 commit",
    ),
    "conflicts": (
        "1 begin",
        f"1 {CONFLICTING.format(-100, 1500)} (id) do update set v = t.v + 10, pad = excluded.pad",
        "1 savepoint a",
        f"1 {CONFLICTING.format(0, 3000)} do nothing",
        "1 rollback to a",
        f"1 {CONFLICTING.format(1000, 4000)} do nothing",
        "1 commit",
    ),
    "a table made inside": (
        "1 begin",
        "1 create table n (id int primary key, v int)",
        "1 insert into n select g, 1 from generate_series(1, 5000) g",
        "1 update n set v = 2 where id % 2 = 0",
        "1 select many(0)",
        "1 commit",
        "0 insert into n values (0, 0)",
    ),
    # Changes of tables that are not read count too.
    "others between": (
        "0 create schema elsewhere; create table elsewhere.x (like t including all)",
        "1 begin",
        "1 select many(0)",
        "1 select many(0, 'elsewhere.x')",
        "1 select many(10000)",
        "1 savepoint a",
        "1 select many(10000, 'elsewhere.x')",
        "1 rollback to a",
        "1 truncate elsewhere.x",
        "1 select many(20000)",
        "1 commit",
    ),
}
#: What makes a walsender send before a transaction ends: little memory, or the wish of a developer.
LITTLE = "logical_decoding_work_mem = '64kB'"
AT_ONCE = "debug_logical_replication_streaming = 'immediate'"


def adds_up(history: Copy, table: str) -> None:
    """Assert that the changes of a history, in order, make the source's rows."""
    key = "id"
    names = [row[0] for row in history.select(f"describe public.{table}") if row[0] != "_etl_commit_ts"]
    state: dict[Any, dict[str, Any]] = {}
    seen: set[bytes] = set()
    for values in history.select(f"select * exclude (_etl_commit_ts) from public.{table} order by _etl_seq"):
        row = dict(zip(names, values, strict=True))
        assert row["_etl_seq"] not in seen
        seen.add(row["_etl_seq"])
        old = state.pop(row["_etl_old_key"][key], None) if row["_etl_old_key"] else state.get(row[key])
        if row["_etl_op"] == "d":
            del state[row[key]]
            continue
        assert (old is None) == (row["_etl_op"] in "ri"), row["_etl_op"]
        kept = {name: old[name] for name in row["_etl_unchanged"] or () if old}
        state[row[key]] = {n: v for n, v in row.items() if not n.startswith("_etl")} | kept
    columns = [name for name in columns_of(history.database, table) if name != LATER]
    wanted = history.database.query(f"select {', '.join(columns)} from {table} order by {key}")
    assert [tuple(state[k][c] for c in columns) for k in sorted(state)] == wanted, table


def all_sent(pg: Database, walsenders: int = 2) -> bool:
    """Say whether the walsenders have sent all that was written by now, finished or not."""
    with pg.connect() as connection:
        connection.execute("select pg_logical_emit_message(true, '', '')")  # all before it is on the disk
        ((end,),) = connection.execute("select pg_current_wal_flush_lsn()::text").fetchall()
    sql = (
        f"select count(*) from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid"
        f" where database = current_database() and sent_lsn >= '{end}'::pg_lsn"
    )
    return pg.query(sql) == [(walsenders,)]


def streamed(pg: Database, copy: Copy) -> bool:
    """Say whether the server sent transactions of this pipeline before they had ended."""
    sql = f"select stream_count > 0 from pg_stat_replication_slots where slot_name = '{copy.slot}'"
    return pg.query(sql) == [(True,)]


def columns_of(pg: Database, table: str) -> list[str]:
    sql = (
        f"select attname from pg_attribute where attrelid = '{table}'::regclass and attnum > 0"
        " and not attisdropped order by attnum"
    )
    return [name for (name,) in pg.query(sql)]


def act(pg: Database, scenario: str, then: Callable[[], object]) -> None:
    """Do what a scenario says, and something after each statement."""
    with ExitStack() as opened:
        connections = {number: opened.enter_context(pg.connect()) for number in "012"}
        for statement in SCENARIOS[scenario]:
            connections[statement[0]].execute(statement[2:].encode())
            then()


def prepared(pg: Database, tmp_path: Path, setting: str, rows: int) -> tuple[Copy, Copy]:
    """Return a mirror and a history that have their snapshots."""
    pg.execute(*TABLES, MANY.format(rows=rows), f"alter database {pg.name} set {setting}")
    copies = Copy(pg, tmp_path), Copy(pg, tmp_path, name=f"{pg.name}_history", load="append")
    for copy in copies:
        copy.once()
    return copies


def compare(pg: Database, scenario: str, mirror: Copy, history: Copy) -> None:
    """Assert that both have what the source has."""
    for copy in (mirror, history):
        copy.once()
        # What was rolled back by then some versions do not send at all.
        if scenario != "rolled back":
            wait_until(partial(streamed, pg, copy), what="the server's word that it sent early")
    for (table,) in pg.query("select tablename from pg_tables where schemaname = 'public'"):
        found = mirror.rows(table, ", ".join(columns_of(pg, table)))
        assert found == pg.query(f"select * from {table} order by 1"), table
        if scenario != "truncated":  # a history goes on over a truncate
            adds_up(history, table)


#: What is always run; the others are not unlike them.
FIRST = (
    "aborted savepoints",
    "interleaved",
    "rolled back",
    "schema change rolled back",
    "truncated",
    "large values",
    "first seen where it is rolled back",
)


@pytest.mark.parametrize(
    "scenario", [s if s in FIRST else pytest.param(s, marks=pytest.mark.slow) for s in SCENARIOS]
)
def test_sent_while_it_goes_on(pg: Database, tmp_path: Path, scenario: str) -> None:
    """Nobody knows what becomes of a statement when its rows are sent."""
    mirror, history = prepared(pg, tmp_path, LITTLE, BLOCKS)
    with mirror.running() as one, history.running() as two:
        one.until(mirror.streaming)
        two.until(history.streaming)
        act(pg, scenario, lambda: two.until(partial(all_sent, pg)))
        assert one.retries() == two.retries() == []
    compare(pg, scenario, mirror, history)


@pytest.mark.slow
@pytest.mark.parametrize("pg_version", [16, 18])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(("setting", "rows"), [(LITTLE, BLOCKS), (AT_ONCE, FEW)])
def test_sent_afterwards(pg: Database, tmp_path: Path, scenario: str, setting: str, rows: int) -> None:
    mirror, history = prepared(pg, tmp_path, setting, rows)
    act(pg, scenario, lambda: None)
    compare(pg, scenario, mirror, history)


@pytest.mark.slow
@pytest.mark.parametrize("pg_version", [16, 18])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_sent_change_by_change_while_it_goes_on(pg: Database, tmp_path: Path, scenario: str) -> None:
    mirror, history = prepared(pg, tmp_path, AT_ONCE, FEW)
    with mirror.running() as one, history.running() as two:
        one.until(mirror.streaming)
        two.until(history.streaming)
        act(pg, scenario, lambda: two.until(partial(all_sent, pg)))
    compare(pg, scenario, mirror, history)


def test_read_by_many_runs(pg: Database, tmp_path: Path) -> None:
    """Each run ends in the middle of what is in progress; the next is sent all of it again."""
    mirror, history = prepared(pg, tmp_path, LITTLE, BLOCKS)
    act(pg, "interleaved", mirror.once)
    compare(pg, "interleaved", mirror, history)


def test_killed_while_it_goes_on(shop: Shop) -> None:
    """SIGKILL before its end, again, and in the middle of its rows: nothing is lost, nothing comes twice."""
    pg = shop.database
    pg.execute(f"alter database {pg.name} set {LITTLE}")
    insert = "insert into orders select n, 'c', 1, repeat(md5(n::text), 4) from generate_series({}, {}) n"
    shop.once()
    with pg.connect() as connection:
        connection.execute("begin")
        connection.execute(insert.format(1000, 5000).encode())
        for then in (
            f"savepoint a; update orders set total = 0; {insert.format(90000, 99000)}; rollback to a",
            f"{insert.format(100_000, 165_000)}; delete from orders where id = 1; commit",
        ):
            process = shop.start()
            wait_until(shop.streams)
            wait_until(partial(all_sent, pg, 1), what="what is in progress")
            process.kill()
            process.communicate()
            connection.execute(then.encode())
    process = shop.start(env={"ETL_FAILPOINT": "after_write:2"})
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    shop.once()
    shop.assert_equal()


def test_prepared_transactions_arrive_when_they_are_committed(
    pg_private: Callable[..., EmbeddedPostgres], tmp_path: Path
) -> None:
    server = pg_private(settings={"max_prepared_transactions": "5"})
    pg = Database("postgres", server.dsn, server)
    mirror, history = prepared(pg, tmp_path, LITTLE, BLOCKS)
    for number, end in enumerate(("commit", "rollback", "commit")):
        with pg.connect() as connection:
            connection.execute("begin")
            connection.execute("select many(%s)", [number * 10_000])
            connection.execute("savepoint a; update t set v = 9; rollback to a")
            connection.execute("prepare transaction 'p'")
        mirror.once()
        pg.execute(f"insert into u values ({number}, 1, 'between')")
        assert len(mirror.rows()) < 200 + (number + 1) * BLOCKS
        pg.execute(f"{end} prepared 'p'")
        mirror.once()
        mirror.assert_equal("t", "u")
    compare(pg, "prepared", mirror, history)
