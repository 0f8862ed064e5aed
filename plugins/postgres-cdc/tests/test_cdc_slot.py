"""The slot: acknowledged when told, never ahead; lost positions are told, never skipped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from cdc_harness import DEADLINE, Harness, plain, rows_of

from etl_core import ConfigError, Kind, PositionLostError, RetryableError
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database
from etl_postgres_cdc import streaming
from etl_postgres_cdc.config import default_name
from etl_postgres_cdc.position import parse_lsn

Make = Callable[..., Harness]
Private = Callable[..., EmbeddedPostgres]


def confirmed(pg: Database, harness: Harness) -> int:
    slot = default_name(harness.pipeline)
    ((lsn,),) = pg.query(
        f"select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '{slot}'"
    )
    return parse_lsn(lsn)


def eventually(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def table(pg: Database) -> None:
    pg.execute("create table t (id int primary key)")


@pytest.fixture
def quick_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_PROGRESS", 0.1)


def test_nothing_is_confirmed_before_it_is_acknowledged(pg: Database, cdc: Make, table: None) -> None:
    source = cdc().start()
    start = source.batch(Kind.SNAPSHOT_END).position
    pg.execute("insert into t values (1)")
    source.rows(1)
    pg.execute("insert into t values (2)")
    first = source.position
    source.rows(2)
    for _ in range(20):
        source.next()
    assert confirmed(pg, source) == parse_lsn(start["lsn"])
    source.source.ack(first)
    eventually(lambda: confirmed(pg, source) == parse_lsn(first["lsn"]))
    source.source.ack(start)
    source.ack()
    eventually(lambda: confirmed(pg, source) == parse_lsn(source.position["lsn"]))


def test_the_slot_moves_while_the_tables_are_idle(
    pg: Database, cdc: Make, table: None, quick_progress: None
) -> None:
    pg.execute("create table other (id int)")
    source = cdc("public.t", heartbeat=0.2).start()
    source.batch(Kind.SNAPSHOT_END)
    seen = set()
    for _ in range(3):
        progress = source.batch(Kind.PROGRESS, after=len(source.batches))
        source.ack()
        eventually(lambda: confirmed(pg, source) >= parse_lsn(source.position["lsn"]))
        seen.add(progress.position["lsn"])
    assert len(seen) == 3
    assert rows_of(source.batches) == []


def test_what_became_durable_after_the_end_is_confirmed_at_close(
    pg: Database, cdc: Make, table: None
) -> None:
    source = cdc()
    source.once(close=False)
    pg.execute("insert into t values (1)")
    source.once(source.position, close=False)
    source.ack()
    source.close()
    assert confirmed(pg, source) == parse_lsn(source.position["lsn"])


def test_the_last_confirmation_outlives_the_connection(pg_private: Private) -> None:
    server = pg_private(settings={"wal_sender_timeout": "1s"})
    database = Database("postgres", server.dsn, server)
    database.execute("create table t (id int primary key)")
    source = Harness(server.dsn, ["public.t"])
    source.once(close=False)
    database.execute("insert into t values (1)")
    source.once(source.position, close=False)
    eventually(lambda: database.query("select 1 from pg_stat_replication") == [])
    source.ack()
    source.close()
    assert confirmed(database, source) == parse_lsn(source.position["lsn"])
    assert database.query("select 1 from pg_stat_replication") == []


def test_the_last_confirmation_is_taken_beside_a_large_backlog(pg: Database, cdc: Make, table: None) -> None:
    source = cdc()
    source.once(close=False)
    pg.execute("insert into t values (0)")
    source.once(source.position, close=False)
    pg.execute("insert into t select generate_series(1, 200000)")
    source.ack()
    source.close()
    assert confirmed(pg, source) == parse_lsn(source.position["lsn"])


def test_an_answer_comes_while_nobody_takes_batches(pg_private: Private) -> None:
    server = pg_private(settings={"wal_sender_timeout": "1s"})
    database = Database("postgres", server.dsn, server)
    database.execute("create table t (id int primary key, v text)")
    source = Harness(server.dsn, ["public.t"]).start()
    source.batch(Kind.SNAPSHOT_END)
    database.execute("insert into t select n, repeat('x', 100000) from generate_series(1, 400) n")
    source.until(lambda: rows_of(source.batches[-1:]))
    stalled = time.monotonic() + 2.5
    while time.monotonic() < stalled:
        time.sleep(0.1)
        assert database.query("select count(*) from pg_stat_replication") == [(1,)]
    source.until(lambda: sum(batch.rows.num_rows for batch in source.batches if batch.rows) == 400)
    source.close()


def test_a_lost_slot_is_told(pg: Database, cdc: Make, table: None) -> None:
    source = cdc()
    source.once()
    pg.query(f"select pg_drop_replication_slot('{default_name(source.pipeline)}')")
    with pytest.raises(PositionLostError, match="slot does not exist") as error:
        source.start(source.position).next()
    assert not error.value.resnapshot
    assert "on_slot_lost: resnapshot" in str(error.value.hint)
    with pytest.raises(PositionLostError) as error:
        cdc(on_slot_lost="resnapshot").start(source.position).next()
    assert error.value.resnapshot


def test_a_slot_made_anew_is_told(pg: Database, cdc: Make, table: None) -> None:
    source = cdc()
    source.once()
    slot = default_name(source.pipeline)
    pg.query(f"select pg_drop_replication_slot('{slot}')")
    pg.execute("insert into t values (1)")
    pg.query(f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    with pytest.raises(PositionLostError, match="ahead of the position"):
        source.start(source.position).next()


def test_an_older_position_than_the_slots_is_told(pg: Database, cdc: Make, table: None) -> None:
    source = cdc().start()
    old = source.batch(Kind.SNAPSHOT_END).position
    pg.execute("insert into t values (1)")
    source.rows(1)
    source.ack()
    eventually(lambda: confirmed(pg, source) > parse_lsn(old["lsn"]))
    with pytest.raises(PositionLostError, match="ahead of the position"):
        source.start(old).next()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("system", "1", "another history"),
        ("timeline", 99, "another history"),
        ("slot", "elsewhere", "another slot"),
        ("publication_oid", 1, "not the one that was read"),
        ("lsn", "FFFFFFFF/0", "ends before the position"),
    ],
)
def test_another_servers_position_is_refused(
    cdc: Make, table: None, name: str, value: object, message: str
) -> None:
    source = cdc()
    source.once()
    with pytest.raises(PositionLostError, match=message):
        source.start(source.position | {name: value}).next()


def test_a_publication_made_anew_is_told(pg: Database, cdc: Make, table: None) -> None:
    source = cdc()
    source.once()
    name = default_name(source.pipeline)
    pg.execute(f"drop publication {name}", f"create publication {name} for table t")
    with pytest.raises(PositionLostError, match="not the one that was read"):
        source.start(source.position).next()


@pytest.mark.parametrize("pg_version", [16, 18])
def test_a_publication_that_vanishes_while_streaming_is_told(pg: Database, cdc: Make, table: None) -> None:
    source = cdc(refresh=0.1).start()
    source.batch(Kind.SNAPSHOT_END)
    pg.execute("insert into t values (1)")
    source.rows(1)
    pg.execute(f"drop publication {default_name(source.pipeline)}", "insert into t values (2)")
    with pytest.raises(PositionLostError, match="publication"):
        source.until(lambda: False)


def test_wal_the_server_removed_is_told(pg_private: Private) -> None:
    server = pg_private(settings={"max_slot_wal_keep_size": "1MB", "wal_keep_size": "0"})
    database = Database("postgres", server.dsn, server)
    database.execute("create table t (id int primary key)")
    source = Harness(server.dsn, ["public.t"])
    source.once()
    for _ in range(3):
        database.query("select pg_switch_wal()")
        database.execute("insert into t select coalesce(max(id), 0) + 1 from t", "checkpoint")
    with pytest.raises(PositionLostError, match="removed WAL"):
        source.start(source.position).next()
    again = source.once(epoch=2)
    assert len(rows_of(again)) == 3
    source.close()


def test_a_slot_in_use_is_a_reason_to_retry(cdc: Make, table: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_PATIENCE", 0.2)
    source = cdc().start()
    source.until(lambda: source.ctx.threads and source.batches[-1].kind is Kind.SNAPSHOT_END)
    while source.ctx.threads[-1].name != "feedback":
        source.next()
    other = cdc().start(source.position)
    with pytest.raises(RetryableError, match="slot is in use") as error:
        other.until(lambda: False)
    assert error.value.retry_after
    assert "pid=" in str(error.value)


def test_a_slot_that_becomes_free_is_taken(pg: Database, cdc: Make, table: None) -> None:
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    while not (source.ctx.threads and source.ctx.threads[-1].name == "feedback"):
        source.next()
    other = cdc().start(source.position)
    pg.execute("insert into t values (1)")
    for _ in range(5):
        assert other.next() is None
    source.stop()
    assert plain(other.rows(1)) == [("i", 1)]


def test_a_slot_that_moved_while_it_was_waited_for_is_told(pg: Database, cdc: Make, table: None) -> None:
    source = cdc().start()
    old = source.batch(Kind.SNAPSHOT_END).position
    while not (source.ctx.threads and source.ctx.threads[-1].name == "feedback"):
        source.next()
    other = cdc().start(old)
    for _ in range(3):
        assert other.next() is None
    pg.execute("insert into t values (1)")
    source.rows(1)
    source.ack()
    eventually(lambda: confirmed(pg, source) == parse_lsn(source.position["lsn"]))
    source.stop()
    pg.execute("insert into t values (2)")
    with pytest.raises(PositionLostError, match="ahead of the position"):
        other.until(lambda: rows_of(other.batches))


def test_a_slot_left_by_a_run_that_made_nothing_durable_is_made_anew(
    pg: Database, cdc: Make, table: None
) -> None:
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_BEGIN)
    source.stop()
    before = confirmed(pg, source)
    pg.execute("insert into t values (1)")
    assert plain(rows_of(source.once())) == [("r", 1)]
    assert confirmed(pg, source) > before


def test_a_named_slot_may_be_older_than_the_publication(pg: Database, cdc: Make, table: None) -> None:
    pg.query("select pg_create_logical_replication_slot('older', 'pgoutput')")
    pg.execute("insert into t values (1)")
    source = cdc(slot="older")
    assert plain(rows_of(source.once())) == [("r", 1)]
    pg.execute("insert into t values (2)")
    assert plain(rows_of(source.once(source.position))) == [("i", 2)]


def test_a_named_slot_of_another_kind_is_refused(pg: Database, cdc: Make, table: None) -> None:
    pg.query("select pg_create_physical_replication_slot('other_kind')")
    try:
        with pytest.raises(ConfigError, match="slot cannot be used"):
            cdc(slot="other_kind").start().next()
    finally:
        pg.query("select pg_drop_replication_slot('other_kind')")


def test_a_restarted_server_is_a_reason_to_retry(pg_private: Private) -> None:
    server = pg_private()
    database = Database("postgres", server.dsn, server)
    database.execute("create table t (id int primary key)", "insert into t values (1)")
    source = Harness(server.dsn, ["public.t"]).start()
    source.batch(Kind.SNAPSHOT_END)
    database.execute("insert into t values (2)")
    source.rows(2)
    for end in (server.restart, lambda: [step() for step in (server.kill, server.start)]):
        breaking = threading.Thread(target=end)
        breaking.start()
        with pytest.raises(RetryableError):
            source.until(source.ack)
        breaking.join()
        database.execute("insert into t select max(id) + 1 from t")
        source.start(source.position)
        source.rows(len(rows_of(source.batches)) + 1)
    assert plain(source.rows(4))[1:] == [("i", 2), ("i", 3), ("i", 4)]
    source.close()


@pytest.mark.parametrize("when", ["snapshot", "stream", "slot"])
def test_a_cancel_ends_the_read_at_once(pg: Database, cdc: Make, table: None, when: str) -> None:
    pg.execute("insert into t values (1)")
    source = cdc().start()
    with pg.connect() as blocker:
        if when == "slot":
            blocker.execute("begin; insert into t values (2)")
            assert source.next() is None
        else:
            wanted = Kind.SNAPSHOT_BEGIN if when == "snapshot" else Kind.SNAPSHOT_END
            source.batch(wanted)
            if when == "stream":
                assert source.next() is None
        stopper = threading.Thread(target=source.ctx.stop)
        stopper.start()
        with pytest.raises(StopIteration):
            for _ in range(100):
                source.next()
        stopper.join()
    for thread in source.ctx.threads:
        thread.join(5)
        assert not thread.is_alive()


def test_teardown_removes_what_was_made(pg: Database, cdc: Make, table: None) -> None:
    source = cdc()
    source.once()
    name = default_name(source.pipeline)
    assert list(source.source.teardown(source.context())) == [
        f"dropped: replication slot {name}",
        f"dropped: publication {name}",
    ]
    assert pg.query("select 1 from pg_publication") == []
    assert list(source.source.teardown(source.context())) == []


def test_teardown_leaves_what_others_made(pg: Database, cdc: Make, table: None) -> None:
    pg.execute("create publication mine for table t")
    pg.query("select pg_create_logical_replication_slot('not_ours', 'pgoutput')")
    source = cdc(publication="mine", slot="not_ours")
    source.once()
    left = source.source.teardown(source.context())
    assert [text.split(",")[0] for text in left] == [
        "left: replication slot not_ours",
        "left: publication mine",
    ]
    assert "pg_drop_replication_slot('not_ours')" in left[0]
