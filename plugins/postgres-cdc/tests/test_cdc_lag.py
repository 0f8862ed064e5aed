"""The lag: of a position, in bytes and seconds, and the WAL that the slot keeps."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from cdc_harness import DEADLINE, FakeContext, Harness
from hypothesis import given
from hypothesis import strategies as st

from etl_core import Cancelled, Kind, Lag, RetryableError, StateError
from etl_core.errors import EtlError
from etl_pglib import binaries
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database
from etl_postgres_cdc import lag as module
from etl_postgres_cdc.client import Catalog
from etl_postgres_cdc.config import default_name
from etl_postgres_cdc.lag import Horizon, State
from etl_postgres_cdc.position import Progress, parse_lsn

Make = Callable[..., Harness]
Private = Callable[..., EmbeddedPostgres]

MIB = 1 << 20


@pytest.fixture
def table(pg: Database) -> None:
    pg.execute("create table t (id int primary key, v text)")


@pytest.fixture
def ctx(pg: Database) -> Iterator[FakeContext]:
    made = FakeContext(pg.name)
    yield made
    made.stop()


def lag(source: Harness, ctx: Any, value: Any = None) -> Lag:
    found = source.source.lag(ctx, source.position if value is None else value)
    assert found is not None
    return found


def write(pg: Database, mebibytes: int) -> None:
    """Commit so much WAL, of which nothing is for the tables."""
    pg.query(f"select pg_logical_emit_message(true, 'fill', repeat('x', {mebibytes * MIB}))")


@pytest.fixture
def alone(pg_private: Private) -> Database:
    """A database on a server where nobody else writes WAL."""
    server = pg_private()
    database = Database("postgres", server.dsn, server)
    database.execute("create table t (id int primary key, v text)")
    return database


def caught_up(source: Harness, ctx: FakeContext) -> Lag:
    """Read to the end until nothing comes after it."""
    end = time.monotonic() + DEADLINE
    while (found := lag(source, ctx)).bytes != 0:
        assert time.monotonic() < end
        source.once(source.position, close=False)
    return found


def test_a_position_falls_behind_and_catches_up(alone: Database) -> None:
    pg, ctx = alone, FakeContext("postgres")
    source = Harness(alone.dsn, ["public.t"]).start()
    source.batch(Kind.SNAPSHOT_END)
    source.stop()
    before = lag(source, ctx)
    assert before.seconds is not None
    write(pg, 4)
    behind = lag(source, ctx)
    assert behind.bytes is not None
    assert behind.bytes >= 4 * MIB
    assert behind.retained_bytes is not None
    assert behind.retained_bytes >= behind.bytes
    assert behind.seconds is not None
    assert 0 < behind.seconds < DEADLINE
    write(pg, 4)
    more = lag(source, ctx)
    assert more.bytes is not None
    assert more.seconds is not None
    assert more.bytes >= behind.bytes + 4 * MIB
    assert more.seconds > behind.seconds
    caught = caught_up(source, ctx)
    assert caught.seconds == 0.0
    assert caught.status == "reserved"
    source.close()


def test_seconds_count_from_the_last_commit_that_a_position_covers(
    pg: Database, cdc: Make, table: None, ctx: Any
) -> None:
    source = cdc().start()
    source.batch(Kind.SNAPSHOT_END)
    assert Progress.parse(source.position).as_of is not None, "it begins as of the slot's creation"
    pg.execute("insert into t values (1)")
    ((committed,),) = pg.query("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
    source.rows(1)
    as_of = source.position["as_of"]
    assert committed - 10_000_000 < as_of < committed
    source.stop()
    write(pg, 1)
    ((now,),) = pg.query("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
    measured = lag(cdc(), ctx, source.position)
    assert measured.seconds is not None
    assert measured.seconds >= (now - as_of) / 1_000_000


def test_a_position_from_before_times_were_kept_has_none(
    pg: Database, cdc: Make, table: None, ctx: Any
) -> None:
    source = cdc()
    source.once()
    write(pg, 1)
    old = {key: value for key, value in source.position.items() if key != "as_of"}
    assert Progress.parse(old).as_of is None
    measured = lag(cdc(), ctx, old)
    assert measured.bytes
    assert measured.seconds is None


def test_a_position_that_was_seen_at_the_end_is_as_old_as_that(alone: Database) -> None:
    """However long ago its last commit was: nothing was committed since."""
    pg, ctx = alone, FakeContext("postgres")
    source = Harness(alone.dsn, ["public.t"])
    source.once(close=False)
    caught_up(source, ctx)
    ((seen,),) = pg.query("select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
    long_ago = source.position | {"as_of": seen - 3_600_000_000}
    write(pg, 1)
    measured = lag(source, ctx, long_ago)
    assert measured.seconds is not None
    assert measured.seconds < DEADLINE
    source.close()


def test_without_a_position_it_is_the_slots(pg: Database, cdc: Make, table: None, ctx: Any) -> None:
    source = cdc()
    missing = source.source.lag(ctx, None)
    assert missing == Lag(status="missing")
    source.once()
    write(pg, 1)
    of_slot = source.source.lag(ctx, None)
    assert of_slot is not None
    assert of_slot.bytes is not None
    assert of_slot.bytes >= MIB
    assert of_slot.seconds is None
    assert of_slot.status == "reserved"


@pytest.mark.parametrize("when", ["connecting", "asking"])
def test_a_question_that_outlives_the_run_leaves_no_connection(
    pg: Database, cdc: Make, table: None, ctx: Any, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    source = cdc()
    source.once()
    opened = []

    def end() -> None:
        source.close()
        ctx.stop()

    class Late(Catalog):
        def __init__(self, *arguments: Any) -> None:
            if when == "connecting":
                end()
            super().__init__(*arguments)
            opened.append(self.connection)

        def query(self, *arguments: Any, **options: Any) -> list[tuple[Any, ...]]:
            if when == "asking":
                end()
            return super().query(*arguments, **options)

    monkeypatch.setattr(module, "Catalog", Late)
    with suppress(Cancelled, EtlError):
        source.source.lag(ctx, source.position)
    with pytest.raises(Cancelled):
        source.source.lag(ctx, source.position)
    assert [one.closed for one in opened] == [True]


def test_a_slot_that_is_gone_is_told_beside_the_bytes(pg: Database, cdc: Make, table: None, ctx: Any) -> None:
    source = cdc()
    source.once()
    pg.query(f"select pg_drop_replication_slot('{default_name(source.pipeline)}')")
    write(pg, 1)
    measured = lag(source, ctx)
    assert (measured.status, measured.retained_bytes) == ("missing", None)
    assert measured.bytes is not None
    assert measured.bytes >= MIB


def test_what_the_server_would_keep_more_is_told(pg_private: Private) -> None:
    server = pg_private(settings={"max_slot_wal_keep_size": "64MB"})
    database = Database("postgres", server.dsn, server)
    database.execute("create table t (id int primary key, v text)")
    source, ctx = Harness(server.dsn, ["public.t"]), FakeContext("postgres")
    source.once()
    before = lag(source, ctx).remaining_bytes
    assert before is not None
    assert 0 < before <= 128 * MIB
    write(database, 8)
    after = lag(source, ctx).remaining_bytes
    assert after is not None
    assert after <= before - 8 * MIB
    for _ in range(8):
        write(database, 32)
        database.execute("select pg_switch_wal()", "checkpoint")
    lost = lag(source, ctx)
    assert (lost.status, lost.remaining_bytes, lost.retained_bytes) == ("lost", None, None)
    source.close()
    ctx.stop()


def test_a_copy_alone_has_no_lag(cdc: Make, table: None, ctx: Any) -> None:
    source = cdc(snapshot="only")
    source.start()
    source.batch(Kind.SNAPSHOT_END)
    assert source.source.lag(ctx, source.position) is None


def test_a_position_of_another_source_or_server_is_refused(cdc: Make, table: None, ctx: Any) -> None:
    source = cdc()
    source.once()
    with pytest.raises(StateError, match="of another server"):
        lag(source, ctx, source.position | {"system": "1"})
    for value in (7, {"lsn": "no"}, {}):
        with pytest.raises(StateError, match="not one of postgres-cdc"):
            lag(source, ctx, value)


def test_who_the_server_is_may_be_secret(pg: Database, cdc: Make, table: None) -> None:
    pg.execute(
        "revoke execute on function pg_control_system() from public",
        "drop role if exists plain_lag",
        "create role plain_lag login",
    )
    source = cdc()
    source.once()
    other = Harness(pg.dsn.replace("postgres@", "plain_lag@"), ["public.*"], pipeline=source.pipeline)
    ctx = FakeContext(source.pipeline)
    assert lag(other, ctx, source.position | {"system": "1"}).bytes is not None
    other.close()
    pg.execute("drop role plain_lag")


def test_the_connection_is_kept_and_replaced_when_it_breaks(
    pg: Database, cdc: Make, table: None, ctx: Any
) -> None:
    source = cdc()
    source.once(close=False)
    asking = f"select pid from pg_stat_activity where query like '%safe_wal_size%' and datname = '{pg.name}'"
    asking += " and pid <> pg_backend_pid()"
    for _ in range(3):
        lag(source, ctx)
    ((first,),) = pg.query(asking)
    pg.query(f"select pg_terminate_backend({first}, 5000)")
    lag(source, ctx)
    ((second,),) = pg.query(asking)
    assert second != first
    other = FakeContext(source.pipeline)
    lag(source, other)
    ((third,),) = pg.query(asking)
    assert third != second
    source.source.close()
    end = time.monotonic() + DEADLINE
    while pg.query(asking):
        assert time.monotonic() < end


def test_a_server_that_is_away_is_a_reason_to_ask_again(pg_private: Private) -> None:
    server = pg_private()
    Database("postgres", server.dsn, server).execute("create table t (id int primary key)")
    source, ctx = Harness(server.dsn, ["public.t"]), FakeContext("postgres")
    source.once()
    assert lag(source, ctx).bytes is not None
    server.stop("immediate")
    for _ in range(2):
        with pytest.raises(RetryableError):
            lag(source, ctx)
    server.start()
    assert lag(source, ctx).bytes is not None
    source.close()


def test_on_a_standby_it_is_what_was_received(pg_private: Private) -> None:
    primary = pg_private(settings={"max_wal_senders": "8"})
    database = Database("postgres", primary.dsn, primary)
    database.execute("create table t (id int primary key, v text)")
    standby = standby_of(pg_private, primary)
    copy = Database("postgres", standby.dsn, standby)
    write(database, 1)
    ((end,),) = database.query("select pg_current_wal_flush_lsn()::text")
    deadline = time.monotonic() + DEADLINE
    while copy.query(f"select pg_last_wal_replay_lsn() >= '{end}'") == [(False,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    source, ctx = Harness(standby.dsn, ["public.t"]), FakeContext("postgres")
    ((system,),) = copy.query("select system_identifier::text from pg_control_system()")
    measured = lag(source, ctx, {"lsn": "0/1", "system": system})
    assert measured.bytes is not None
    assert measured.bytes >= parse_lsn(end) - 1
    source.close()


def standby_of(pg_private: Private, primary: EmbeddedPostgres) -> EmbeddedPostgres:
    """Start a server that follows `primary`."""
    standby = pg_private()
    standby.stop()
    data, user = standby.home / "data", binaries.identity()
    shutil.rmtree(data)
    data.mkdir(mode=0o700)
    owner: Any = {}
    if user is not None:
        os.chown(data, user.uid, user.gid)
        owner = {"user": user.uid, "group": user.gid, "extra_groups": []}
    command = [primary.program("pg_basebackup"), "-d", primary.dsn, "-D", data, "-R", "-X", "stream"]
    subprocess.run([str(part) for part in command], check=True, cwd="/", **owner)
    standby.start()
    return standby


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), max_size=60), st.integers(0, 60))
def test_the_horizon_never_claims_more_than_was_seen(points: list[tuple[int, int]], lsn: int) -> None:
    """Ends are as they come; a time is claimed only if the WAL had ended at or before the LSN then."""
    horizon, at, history = Horizon(), 0, list[tuple[int, int]]()
    for end, later in points:
        at += later
        horizon.note(State(at, end, "reserved", None, None, None))
        if history and end < history[-1][1]:
            history.clear()
        history.append((at, end))
    known = [seen for seen, end in history if end <= lsn]
    assert horizon.covered(lsn) == (max(known) if known else None)


def test_the_horizon_is_bounded_and_stays_true() -> None:
    horizon = Horizon()
    for n in range(20 * module._POINTS):
        horizon.note(State(n * 10, n, "reserved", None, None, None))
    assert len(horizon._ends) <= module._POINTS
    for lsn in range(0, 20 * module._POINTS, 97):
        covered = horizon.covered(lsn)
        assert covered is not None
        assert covered <= lsn * 10
    assert horizon.covered(20 * module._POINTS) == (20 * module._POINTS - 1) * 10
