"""A standby as the source: what only its primary can do is said, all else works there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from loguru import logger
from support.live import Copy
from support.servers import database, own_server, standby_of
from support.shop import Shop, wait_until

from etl_core import ConfigError, PositionLostError
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(180)

SETTINGS = {"wal_sender_timeout": "5s"}
TABLE = "create table t (id int primary key, v text)"
#: Has the primary tell its standbys which transactions run.
TELL = "select pg_log_standby_snapshot()"
#: The version whose standbys are tried always, and another one.
VERSIONS = [16, pytest.param(18, marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=VERSIONS)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres]]:
    """A primary and its standby."""
    directory = tmp_path_factory.mktemp("standby")
    with ExitStack() as opened:
        primary = opened.enter_context(own_server(directory / "primary", SETTINGS, request.param))
        yield primary, opened.enter_context(standby_of(primary, directory / "standby"))


@pytest.fixture
def primary(servers: tuple[EmbeddedPostgres, EmbeddedPostgres]) -> Iterator[Database]:
    with database(servers[0]) as found:
        yield found


@pytest.fixture
def standby(servers: tuple[EmbeddedPostgres, EmbeddedPostgres], primary: Database) -> Iterator[Database]:
    """The same database there; its slots go before the primary drops it."""
    primary.execute(TABLE, "insert into t values (1, 'one'), (2, 'two')")
    found = Database(primary.name, servers[1].dsn_of(primary.name), servers[1])
    replayed(primary, servers[1])
    yield found
    for (slot,) in found.query("select slot_name from pg_replication_slots where not active"):
        found.query(f"select pg_drop_replication_slot('{slot}')")


@pytest.fixture
def copy(standby: Database, tmp_path: Path) -> Copy:
    return Copy(standby, tmp_path, extract={"refresh": 0.2, "heartbeat": 0.2})


def replayed(primary: Database, standby: EmbeddedPostgres) -> None:
    """Wait until the standby has all that was committed on the primary."""
    primary.execute("select pg_logical_emit_message(true, '', '')")
    ((end,),) = primary.query("select pg_current_wal_flush_lsn()::text")
    there = Database("postgres", standby.dsn, standby)
    sql = f"select pg_last_wal_replay_lsn() >= '{end}'::pg_lsn"
    wait_until(lambda: there.query(sql) == [(True,)], what="the standby to catch up")


def once(primary: Database, copy: Copy) -> None:
    """Catch up with the standby; its primary tells it of transactions whenever it waits for that."""
    with copy.running(copy.document() | {"once": True}) as live:
        while not live.ended.wait(0.1):
            primary.query(TELL)
        if live.error:
            raise live.error


def test_a_standby_is_copied_and_followed(primary: Database, standby: Database, copy: Copy) -> None:
    primary.execute("create publication mine for table t")
    replayed(primary, standby.server)
    copy.extract["publication"] = "mine"
    once(primary, copy)
    copy.assert_equal()
    with copy.running() as live:
        live.until(copy.streaming)
        primary.execute("insert into t values (3, 'three')", "update t set v = 'changed' where id = 1")
        live.wait_rows(2)
        primary.execute("delete from t where id = 2")
        live.wait_rows(3)
    replayed(primary, standby.server)
    once(primary, copy)
    copy.assert_equal()
    assert standby.query("select slot_name from pg_replication_slots where not temporary") == [(copy.slot,)]
    assert primary.query("select slot_name from pg_replication_slots") == []


def test_what_a_standby_waits_for_is_said(
    primary: Database, standby: Database, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_postgres_cdc.slots._LONG", 0.3)
    primary.execute("create publication mine for table t")
    replayed(primary, standby.server)
    copy.extract["publication"] = "mine"
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)))
    with copy.running() as live:
        live.until(lambda: any("pg_log_standby_snapshot()" in text for text in said))
        primary.query(TELL)
        live.until(lambda: live.named("snapshot_started") or not primary.query(TELL))
    logger.remove(sink)


def test_a_publication_that_is_not_there_is_asked_for(
    primary: Database, standby: Database, copy: Copy
) -> None:
    with pytest.raises(ConfigError, match="standby cannot make a publication") as error:
        copy.once()
    sql = str(error.value.hint).partition("run: ")[2]
    assert sql.startswith("CREATE PUBLICATION")
    primary.execute(sql)
    replayed(primary, standby.server)
    once(primary, copy)
    copy.assert_equal()


def test_check_and_teardown_know_a_standby(primary: Database, standby: Database, tmp_path: Path) -> None:
    shop = Shop(standby, tmp_path).write()
    document = str(shop.document)
    said = shop.cli("check", document)
    assert said.returncode == 1
    assert "a standby cannot make it" in " ".join((said.stdout + said.stderr).split())
    primary.execute(
        f"create publication {shop.slot} for table t",
        f"comment on publication {shop.slot} is 'created by etl-core'",
    )
    replayed(primary, standby.server)
    assert shop.cli("check", document).returncode == 0
    assert "which its primary can drop" in " ".join(shop.cli("teardown", document, "--yes").stdout.split())
    standby.execute("alter system set hot_standby_feedback = off", "select pg_reload_conf()")
    try:
        wait_until(lambda: standby.query("show hot_standby_feedback") == [("off",)])
        assert "hot_standby_feedback" in shop.cli("check", document).stdout
    finally:
        standby.execute("alter system reset hot_standby_feedback", "select pg_reload_conf()")


def test_rows_that_the_primary_removed_lose_the_slot(
    primary: Database, standby: Database, copy: Copy
) -> None:
    """Without feedback the primary's vacuum takes catalog rows that decoding needs."""
    primary.execute("create publication mine for table t")
    replayed(primary, standby.server)
    copy.extract["publication"] = "mine"
    once(primary, copy)
    standby.execute("alter system set hot_standby_feedback = off", "select pg_reload_conf()")
    try:
        slot = f"select wal_status from pg_replication_slots where slot_name = '{copy.slot}'"

        def lost() -> bool:
            primary.execute("create table x as select generate_series(1, 100)", "drop table x")
            primary.execute("vacuum pg_class", "vacuum pg_attribute", "vacuum pg_type")
            return standby.query(slot) == [("lost",)]

        wait_until(lost, what="the slot to be given up")
        with pytest.raises(PositionLostError) as error:
            copy.once()
        assert "hot_standby_feedback" in str(error.value.hint)
        assert "on_slot_lost: resnapshot" in str(error.value.hint)
        primary.execute("update t set v = 'later'")
        replayed(primary, standby.server)
    finally:
        standby.execute("alter system reset hot_standby_feedback", "select pg_reload_conf()")
    copy.extract["on_slot_lost"] = "resnapshot"
    once(primary, copy)
    copy.assert_equal()
