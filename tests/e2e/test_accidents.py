"""What operators do by accident ends in a clear error or a recovery, never in silent loss."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3

import pytest
from support.shop import Shop, wait_until

pytestmark = pytest.mark.timeout(120)


def test_a_mirror_follows_its_source(shop: Shop) -> None:
    shop.once()
    shop.assert_equal()
    shop.database.execute(
        "insert into orders values (1000, 'new', 1, 'x')",
        "update orders set total = total + 1 where id <= 10",
        "update orders set id = 2000 where id = 5",
        "delete from orders where id = 7",
    )
    shop.once()
    shop.assert_equal()


def test_a_deleted_destination_stops_the_run_and_reset_starts_over(shop: Shop) -> None:
    shop.once()
    shop.file.unlink()
    printed = shop.once(expect=1)
    assert "behind the state store" in printed
    assert "state reset" in printed
    assert shop.cli("state", "reset", str(shop.document), "--yes").returncode == 0
    shop.database.execute("insert into orders values (1000, 'new', 1, null)")
    shop.once()
    shop.assert_equal()


def test_a_destination_restored_from_an_old_backup_stops_the_run(shop: Shop) -> None:
    shop.once()
    backup = shop.directory / "backup.duckdb"
    shutil.copy(shop.file, backup)
    shop.database.execute("delete from orders where id < 50")
    shop.once()
    shutil.copy(backup, shop.file)
    assert "behind the state store" in shop.once(expect=1)


def test_state_and_destination_restored_together_is_refused_by_the_source(shop: Shop) -> None:
    """The slot was told that the changes were durable: it cannot serve them again, and must not skip them."""
    shop.once()
    for name in ("shop.duckdb", "state.db"):
        shutil.copy(shop.directory / name, shop.directory / f"{name}.backup")
    shop.database.execute("delete from orders where id < 50")
    shop.once()
    for name in ("shop.duckdb", "state.db"):
        for suffix in ("-wal", "-shm"):
            (shop.directory / f"{name}{suffix}").unlink(missing_ok=True)
        shutil.copy(shop.directory / f"{name}.backup", shop.directory / name)
    printed = shop.once(expect=1)
    assert "PositionLostError" in printed or "slot" in printed
    shop.write(extract={"on_slot_lost": "resnapshot"})
    shop.once()
    shop.assert_equal()


def test_a_deleted_state_file_is_made_anew_from_the_destination(shop: Shop) -> None:
    shop.once()
    for path in shop.directory.glob("state.db*"):
        path.unlink()
    shop.database.execute("insert into orders values (1000, 'new', 1, null)")
    shop.once()
    shop.assert_equal()


def test_a_corrupt_state_file_is_named(shop: Shop) -> None:
    shop.once()
    for path in shop.directory.glob("state.db-*"):
        path.unlink()
    (shop.directory / "state.db").write_bytes(b"this is no database" * 1000)
    printed = shop.once(expect=1)
    assert "state.db" in printed


def test_a_dropped_slot_stops_the_run_or_copies_again(shop: Shop) -> None:
    shop.once()
    shop.database.execute(f"select pg_drop_replication_slot('{shop.slot}')")
    shop.database.execute("delete from orders where id = 3")
    printed = shop.once(expect=1)
    assert shop.slot in printed
    assert "resnapshot" in printed
    shop.write(extract={"on_slot_lost": "resnapshot"})
    shop.once()
    shop.assert_equal()


def test_a_recreated_slot_is_not_mistaken_for_the_old_one(shop: Shop) -> None:
    shop.once()
    shop.database.execute(
        f"select pg_drop_replication_slot('{shop.slot}')",
        "delete from orders where id = 3",
        f"select pg_create_logical_replication_slot('{shop.slot}', 'pgoutput')",
    )
    assert shop.slot in shop.once(expect=1)


def test_a_second_copy_is_told_who_runs(shop: Shop) -> None:
    first = shop.start()
    try:
        wait_until((shop.directory / "state.db").exists, what="the first run's claim")
        wait_until(shop.streams)
        printed = shop.once(expect=1)
        assert str(first.pid) in printed
    finally:
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=40)
    assert first.returncode == 130
    shop.once()
    shop.assert_equal()


def test_a_position_reset_while_the_slot_lives_copies_again(shop: Shop) -> None:
    shop.once()
    shop.database.execute("delete from orders where id < 20")
    assert shop.cli("state", "reset", str(shop.document), "--yes").returncode == 0
    assert shop.slots() == []
    shop.once()
    shop.assert_equal()


def test_the_position_is_shown_and_the_history_kept(shop: Shop) -> None:
    shop.once()
    shown = shop.cli("state", "show", str(shop.document), "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)


def test_a_state_file_that_cannot_be_written_stops_the_run(shop: Shop) -> None:
    shop.write(state={"wait": "100ms"})
    shop.once()
    connection = sqlite3.connect(shop.directory / "state.db")
    connection.execute("begin exclusive")
    shop.database.execute("insert into orders values (1000, 'new', 1, null)")
    try:
        shop.once(expect=1)
    finally:
        connection.close()
    shop.once()
    shop.assert_equal()


def test_teardown_leaves_nothing_at_the_source(shop: Shop) -> None:
    shop.once()
    done = shop.cli("teardown", str(shop.document), "--yes")
    assert done.returncode == 0, done.stderr
    assert shop.slots() == []
    assert shop.database.query("select 1 from pg_publication") == []
