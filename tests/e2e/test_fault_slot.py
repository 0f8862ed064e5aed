"""A slot that is dropped, or given up with its WAL: the pipeline says the way out, or takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.live import Copy, Live
from support.servers import database, own_server
from support.shop import wait_until
from support.tcp_proxy import TcpProxy

from etl_core import ConfigError, PositionLostError
from etl_core.errors import PipelineError
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

ROWS = 20_000
TABLE = "create table t (id int primary key, v int not null, pad text)"
FILL = f"insert into t select n, 0, repeat(md5(n::text), 8) from generate_series(1, {ROWS}) n"
SETTINGS = {
    "wal_sender_timeout": "1s",
    "max_slot_wal_keep_size": "1MB",
    "wal_keep_size": "0",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server with little patience and little room for WAL."""
    with own_server(tmp_path_factory.mktemp("server"), SETTINGS) as server:
        yield server


@pytest.fixture
def own(server: EmbeddedPostgres) -> Iterator[Database]:
    with database(server) as found:
        yield found


@pytest.fixture
def copy(own: Database, tmp_path: Path) -> Copy:
    return Copy(own, tmp_path)


def lost(server: EmbeddedPostgres, own: Database, copy: Copy) -> bool:
    """Write more WAL than the slot may hold back; say whether the server has given it up."""
    own.execute(FILL.replace("insert into t", "create table if not exists x as"), "drop table x")
    own.query("select pg_switch_wal()")
    own.execute("checkpoint")
    sql = f"select wal_status from pg_replication_slots where slot_name = '{copy.slot}'"
    return own.query(sql) == [("lost",)]


def give_up_slot(own: Database, copy: Copy) -> None:
    """Have the server give the slot up."""
    assert any(lost(own.server, own, copy) for _ in range(20))


def says_the_way_out(error: BaseException | None) -> None:
    cause = error.cause if isinstance(error, PipelineError) else error
    assert isinstance(cause, PositionLostError), repr(error)
    assert "on_slot_lost: resnapshot" in str(cause.hint)
    assert "state reset" in str(cause.hint)


def test_a_slot_given_up_between_two_runs(own: Database, copy: Copy) -> None:
    own.execute(TABLE, "insert into t values (1, 1, 'x')")
    copy.once()
    own.execute("update t set v = 2", "insert into t values (2, 2, 'y')")
    give_up_slot(own, copy)
    with pytest.raises(PositionLostError) as error:
        copy.once()
    says_the_way_out(error.value)
    assert "max_slot_wal_keep_size" in str(error.value.hint)
    own.execute("delete from t where id = 1")
    copy.once(on_slot_lost="resnapshot")
    copy.assert_equal()
    own.execute("insert into t values (3, 3, 'z')")
    copy.once()
    copy.assert_equal()


def goes_on_as(policy: str, live: Live, own: Database) -> None:
    """See the run end with the way out, or take it and go on."""
    if policy == "fail":
        says_the_way_out(live.wait_end())
    else:
        live.until(lambda: live.named("snapshot_finished"), "the new snapshot")
        own.execute("insert into t values (3, 3, 'z')")
        live.wait_rows(1, beyond=live.written())


@pytest.mark.parametrize("policy", ["fail", "resnapshot"])
def test_a_slot_given_up_while_its_reader_stands_still(own: Database, copy: Copy, policy: str) -> None:
    """The server ends the reader's connection before it takes the WAL from it."""
    own.execute(TABLE, "insert into t values (1, 1, 'x')")
    with TcpProxy(own.server.port) as proxy:
        copy.dsn = proxy.through(own.dsn)
        copy.once()
        with copy.running(on_slot_lost=policy) as live:
            live.until(copy.streaming)
            proxy.stall()
            own.execute("update t set v = 2", "insert into t values (2, 2, 'y')")
            give_up_slot(own, copy)
            proxy.cut()
            proxy.resume()
            goes_on_as(policy, live, own)
        if policy == "resnapshot":
            copy.once()
            copy.assert_equal()


@pytest.mark.parametrize("policy", ["fail", "resnapshot"])
def test_a_slot_dropped_under_its_reader(own: Database, copy: Copy, policy: str) -> None:
    own.execute(TABLE, "insert into t values (1, 1, 'x')")
    copy.once()
    with copy.running(on_slot_lost=policy) as live:
        live.until(copy.streaming)
        copy.drop_slot()
        own.execute("update t set v = 2", "insert into t values (2, 2, 'y')")
        goes_on_as(policy, live, own)
    if policy == "resnapshot":
        copy.once()
        copy.assert_equal()


def test_a_slot_of_ones_own_that_was_given_up(own: Database, copy: Copy) -> None:
    """One that is named in the document is never dropped: the error has the SQL that does."""
    own.execute(TABLE, "insert into t values (1, 1, 'x')")
    copy.extract = {"slot": copy.slot, "on_slot_lost": "resnapshot"}
    copy.once()
    give_up_slot(own, copy)
    with pytest.raises(ConfigError, match="slot cannot be used") as error:
        copy.once()
    own.query(str(error.value.hint).partition("drop it: ")[2])
    own.execute("update t set v = 2")
    copy.once()
    copy.assert_equal()


@pytest.mark.parametrize("pg_version", [18])
def test_a_slot_that_nobody_read_for_too_long(
    pg_private: Callable[..., EmbeddedPostgres], tmp_path: Path
) -> None:
    server = pg_private(settings={"idle_replication_slot_timeout": "1s"})
    own = Database("postgres", server.dsn, server)
    own.execute(TABLE, "insert into t values (1, 1, 'x')")
    copy = Copy(own, tmp_path)
    copy.once()
    slot = f"select invalidation_reason from pg_replication_slots where slot_name = '{copy.slot}'"
    wait_until(lambda: own.execute("checkpoint") or own.query(slot) == [("idle_timeout",)])
    with pytest.raises(PositionLostError) as error:
        copy.once()
    says_the_way_out(error.value)
    assert "idle_replication_slot_timeout" in str(error.value.hint)
    copy.once(on_slot_lost="resnapshot")
    copy.assert_equal()
