"""The sqlite store and what can happen to a file: other processes, kills, damage, foreign hands."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etl_core.config import Duration
from etl_core.errors import StateError
from etl_core.interfaces import DeadLetter
from etl_core.model import Position, Stream
from etl_core.state import database
from etl_core.state import sqlite as module
from etl_core.state.config import SqliteConfig
from etl_core.state.database import VERSION
from etl_core.state.locks import FileLock
from etl_core.state.sqlite import SqliteStore

HOLD = """
fence = store.claim("shop")
store.save(fence, Position(1, 1, "x"))
print(fence, flush=True)
sys.stdin.readline()
store.release(fence)
"""


def test_a_claim_of_another_process_excludes_this_one_and_says_who(store: SqliteStore, spawn: Any) -> None:
    holder = spawn(HOLD)
    holder.line()
    with pytest.raises(StateError) as caught:
        store.claim("shop")
    assert f"pid {holder.pid} on " in str(caught.value.holder)
    assert " since 2" in str(caught.value.holder)
    assert store.holder("shop") == caught.value.holder
    store.release(store.claim("other"))
    holder.finish()
    store.release(store.claim("shop"))


def test_processes_save_their_pipelines_into_one_file_at_once(store: SqliteStore, spawn: Any) -> None:
    writer = """
    fence = store.claim(f"p{os.getpid()}")
    for n in range(30):
        store.save(fence, Position(1, n, n))
    print("done", flush=True)
    """
    writers = [spawn(writer) for _ in range(3)]
    assert [each.line() for each in writers] == ["done"] * 3
    for each in writers:
        each.finish()
    assert {store.load(name) == Position(1, 29, 29) for name in store.pipelines()} == {True}


def test_every_save_is_synced_and_the_file_is_in_wal_mode(store: SqliteStore, path: Path) -> None:
    store.save(store.claim("shop"), Position(1, 1, None))
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with store._database.transaction() as mine:
        assert mine.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_copy_of_the_file_does_not_hold_the_claim(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    store.save(store.claim("shop"), Position(1, 1, "x"))
    store.close()
    shutil.copy(path, tmp_path / "copy.db")
    copy = SqliteStore(SqliteConfig(path=tmp_path / "copy.db"))
    assert copy.load("shop") == Position(1, 1, "x")
    copy.save(copy.claim("shop"), Position(1, 2, "y"))
    copy.close()


def test_where_locks_do_not_work_the_last_to_claim_wins(store: SqliteStore, path: Path) -> None:
    first = store.claim("shop")
    for lock in path.parent.glob("*.lock"):
        lock.unlink()
    other = SqliteStore(SqliteConfig(path=path))
    second = other.claim("shop")
    with pytest.raises(StateError, match="claim of this run is lost"):
        store.save(first, Position(1, 1, None))
    other.save(second, Position(1, 1, None))
    other.close()


def test_a_file_of_a_newer_version_is_refused(store: SqliteStore, path: Path) -> None:
    store.claim("shop")
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StateError, match="newer etl-core") as caught:
        store.load("shop")
    assert (caught.value.found, caught.value.known) == (99, VERSION)


def test_a_claim_upgrades_a_file_of_the_first_version_and_who_reads_leaves_it(
    store: SqliteStore, path: Path
) -> None:
    store.save(store.claim("shop"), Position(1, 1, "x"))
    store.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE pipelines DROP COLUMN note")
        connection.execute("PRAGMA user_version = 1")
    store.check()
    assert (store.load("shop"), store.noted("shop"), store.holder("shop")) == (
        Position(1, 1, "x"),
        None,
        None,
    )
    assert (len(store.history("shop")), store.dead_letters("shop"), store.pipelines()) == (1, [], ["shop"])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    store.note(store.claim("shop"), {"rows": 1})
    assert store.noted("shop") == {"rows": 1}


def test_somebody_elses_database_is_refused_and_left_alone(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE accounts (id)")
    with pytest.raises(StateError, match="not of etl-core"):
        store.claim("shop")
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("accounts",)]


def test_a_file_that_is_no_database_is_corrupt_with_a_hint(store: SqliteStore, path: Path) -> None:
    path.write_bytes(b"garbage" * 1000)
    for attempt in (lambda: store.load("shop"), lambda: store.claim("shop"), store.check):
        with pytest.raises(StateError, match="corrupt") as caught:
            attempt()
        assert "backup" in str(caught.value.hint)


def test_damaged_pages_are_corrupt_with_a_hint(store: SqliteStore, path: Path) -> None:
    fence = store.claim("shop")
    for n in range(50):
        store.save(fence, Position(1, n, "x" * 500))
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(StateError, match="corrupt"):
        store.load("shop")


def test_a_damaged_position_is_an_error_not_a_fresh_start(store: SqliteStore, path: Path) -> None:
    store.save(store.claim("shop"), Position(1, 1, "x"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE pipelines SET position = '{'")
    with pytest.raises(StateError, match="position cannot be read"):
        store.load("shop")


def test_a_full_database_loses_nothing_and_works_again_with_room(store: SqliteStore, path: Path) -> None:
    fence = store.claim("shop")
    store.save(fence, Position(1, 1, "x"))
    with store._database.transaction() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    store._database._open().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError, match="disk is full"):
        store.save(fence, Position(1, 2, "y" * 100_000))
    letter = DeadLetter("shop", 1, Stream("", "t"), "0", "load", "c", None, b"z" * 100_000, 0.0)
    with pytest.raises(StateError, match="disk is full"):
        store.add_dead_letters(fence, [letter])
    assert store.load("shop") == Position(1, 1, "x")
    store._database._open().execute("PRAGMA max_page_count = 100000")
    store.save(fence, Position(1, 2, "y" * 100_000))
    assert store.load("shop") == Position(1, 2, "y" * 100_000)


def test_check_leaves_no_file_behind(store: SqliteStore, path: Path) -> None:
    store.check()
    assert not list(path.parent.iterdir())
    store.release(store.claim("shop"))
    store.check()
    assert store.pipelines() == ["shop"]


def test_a_file_locked_for_long_by_another_is_a_state_error(store: SqliteStore, path: Path) -> None:
    fence = store.claim("shop")
    store._database._open().execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateError, match="locked by another process"):
        store.save(fence, Position(1, 1, None))
    other.execute("ROLLBACK")
    other.close()
    store.save(fence, Position(1, 1, None))


def test_a_note_gives_up_on_a_busy_file_while_others_go_on(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence, failures = store.claim("shop"), []
    store.save(fence, Position(1, 1, None))

    def note() -> None:
        try:
            store.note(fence, {"rows": 1})
        except StateError as error:
            failures.append(error.message)

    monkeypatch.setattr(database, "ATTEMPT_SECONDS", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=note)
        waiting.start()
        while waiting.is_alive():
            assert store.load("shop") == Position(1, 1, None)
    assert failures == ["the state file is busy"]
    note()
    assert store.noted("shop") == {"rows": 1}
    with store._database.transaction() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (30_000,)


def test_a_late_note_does_not_open_the_file_again(store: SqliteStore) -> None:
    fence = store.claim("shop")
    store.close()
    with pytest.raises(StateError, match="claim of this run is lost"):
        store.note(fence, {"rows": 1})
    assert store._database._connection is None


def test_an_empty_file_is_read_as_one_without_pipelines(store: SqliteStore, path: Path) -> None:
    path.touch()
    store.check()
    assert (store.load("shop"), store.noted("shop"), store.pipelines()) == (None, None, [])
    assert path.stat().st_size == 0
    store.claim("shop")


def test_a_creation_that_never_ends_elsewhere_is_a_state_error(path: Path) -> None:
    store = SqliteStore(SqliteConfig(path=path, wait=Duration(0.05)))
    elsewhere = FileLock(path.with_name(path.name + ".lock"))
    assert elsewhere.acquire()
    with pytest.raises(StateError, match="being prepared"):
        store.claim("shop")
    elsewhere.release()
    store.claim("shop")


def test_a_probe_of_the_holder_does_not_cost_another_its_claim(store: SqliteStore, path: Path) -> None:
    store.release(store.claim("shop"))
    probe = FileLock(store._lock_path("shop"))
    assert probe.acquire()
    threading.Timer(module._PROBE_SECONDS / 5, probe.release).start()
    store.claim("shop")
