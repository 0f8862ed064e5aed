"""What people see of a pipeline that falls behind: `status` without a run, events within one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.shop import Shop, wait_until

from etl_core import Cancelled, Event, run_document
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20


@pytest.fixture
def server(pg_private: Callable[..., EmbeddedPostgres]) -> EmbeddedPostgres:
    """A server where nobody else writes WAL."""
    return pg_private(settings={"max_slot_wal_keep_size": "256MB"})


@pytest.fixture
def shop(server: EmbeddedPostgres, tmp_path: Path) -> Shop:
    return Shop(Database("postgres", server.dsn, server), tmp_path).create()


def status(shop: Shop) -> dict[str, Any]:
    done = shop.cli("status", "--json", str(shop.document))
    assert done.returncode == 0, done.stderr
    [found] = json.loads(done.stdout)
    answer: dict[str, Any] = found
    return answer


def fill(shop: Shop, mebibytes: int) -> None:
    """Commit so much WAL, and a row."""
    shop.database.query(f"select pg_logical_emit_message(true, 'x', repeat('x', {mebibytes * MIB}))")
    shop.database.execute("insert into orders select max(id) + 1, 'new', 1, null from orders")


def test_status_shows_how_a_stopped_pipeline_falls_behind_and_that_it_caught_up(shop: Shop) -> None:
    assert status(shop)["lag"]["status"] == "missing"
    shop.once()
    before = status(shop)["lag"]
    assert before["bytes"] < MIB
    assert before["status"] == "reserved"
    fill(shop, 4)
    behind = status(shop)["lag"]
    fill(shop, 4)
    more = status(shop)["lag"]
    assert behind["bytes"] >= 4 * MIB
    assert more["bytes"] >= behind["bytes"] + 4 * MIB
    assert more["retained_bytes"] >= more["bytes"]
    assert more["remaining_bytes"] < behind["remaining_bytes"]
    assert more["seconds"] > behind["seconds"] > 0
    text = shop.cli("status", str(shop.document)).stdout
    assert " MiB, " in text.splitlines()[1]
    assert "reserved" in text.splitlines()[1]
    caught = wait_until(lambda: caught_up(shop), 60)
    assert caught["lag"]["seconds"] == 0.0
    assert caught["last_run"]["ended"]


def caught_up(shop: Shop) -> dict[str, Any] | None:
    shop.once()
    found = status(shop)
    return found if found["lag"]["bytes"] == 0 else None


def test_status_of_a_server_that_is_away_says_so(
    shop: Shop, server: EmbeddedPostgres, following: Following
) -> None:
    wait_until(lambda: [one for one in following.facts("lag") if one["status"] == "reserved"], 60)
    following.stop()
    server.stop()
    found = status(shop)
    assert found["lag"] is None
    assert found["lag_error"].startswith("RetryableError: the server cannot be reached")
    assert found["last_run"]["lag"]["status"] == "reserved"
    assert "the lag is not known now" in shop.cli("status", str(shop.document)).stdout


class Following:
    """A run in this process, and the events it sends."""

    def __init__(self, shop: Shop) -> None:
        self.events: list[Event] = []
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(shop,))
        self._thread.start()

    def _run(self, shop: Shop) -> None:
        with pytest.raises(Cancelled) as stop:
            run_document(str(shop.document), cancel=self._cancel, events=self.events.append)
        self.result: Any = stop.value.result

    def facts(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.facts) for event in self.events if event.name == name]

    def written(self) -> int:
        """Return how many rows of orders were written, as the last event that names them says."""
        told = [one["streams"].get("public.orders") for one in self.facts("throughput")]
        return max((one["rows_written"] for one in told if one), default=0)

    def stop(self) -> None:
        self._cancel.set()
        self._thread.join(60)


@pytest.fixture
def following(shop: Shop) -> Iterator[Following]:
    run = Following(shop)
    yield run
    run.stop()


def test_a_run_tells_its_lag_its_rates_and_its_progress(shop: Shop, following: Following) -> None:
    wait_until(lambda: [one for one in following.facts("lag") if one["bytes"] == 0], 60)
    [began] = [one for one in following.facts("snapshot_started") if one["stream"] == "public.orders"]
    assert began["estimate"] > 0
    fill(shop, 4)
    wait_until(lambda: following.written() == 101, 60)
    wait_until(lambda: following.facts("lag")[-1]["bytes"] == 0, 60)
    found = status(shop)
    assert found["holder"]
    assert found["last_run"]["streams"]["public.orders"]["rows_written"] == 101
    following.stop()
    assert following.result.lag["seconds"] == 0.0
    assert following.result.streams["public.orders"].snapshot_records == 100
    assert {one["error"] for one in following.facts("lag")} == {None}
