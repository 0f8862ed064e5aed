"""A destination slower than the server's patience costs no connection: the source answers meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.connectors import MemoryDestination
from support.live import in_thread

from etl_core import (
    BatchPolicy,
    Cancel,
    CommitPolicy,
    Duration,
    Event,
    LoadSettings,
    Observer,
    Pipeline,
    Secret,
    Stream,
)
from etl_pglib.testing import Database
from etl_postgres_cdc.config import PostgresCdc
from etl_postgres_cdc.source import PostgresSource

pytestmark = pytest.mark.timeout(120)

STANDSTILL = 2.0
WALSENDER = """
select pid from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid
where database = current_database() and state in ('catchup', 'streaming')
"""
QUICK = LoadSettings(batch=BatchPolicy(max_wait=Duration(0.05)), commit=CommitPolicy(max_wait=Duration(0.05)))


class Listener(Observer):
    """Hands events on."""

    def __init__(self, events: Callable[[Event], None]) -> None:
        self._events = events

    def on_event(self, event: Event) -> None:
        self._events(event)


@pytest.mark.parametrize("call", ["write", "flush"])
def test_a_destination_that_stands_still(pg: Database, call: str) -> None:
    """It does so for several times wal_sender_timeout, while more comes than the network holds."""
    pg.execute(
        f"alter database {pg.name} set wal_sender_timeout = '400ms'",
        "create table t (id int primary key, pad text)",
        "insert into t values (0, 'x')",
    )
    destination, blocked, armed = MemoryDestination(), threading.Event(), threading.Event()

    def block(name: str) -> None:
        if name == call and armed.is_set() and not blocked.is_set():
            blocked.set()
            threading.Event().wait(STANDSTILL)

    destination.hook = block
    source = PostgresSource(PostgresCdc(dsn=Secret(pg.dsn), tables=["public.*"]))

    def run(cancel: Cancel, events: Callable[[Event], None]) -> Any:
        observers = (("events", Listener(events)),)
        pipeline = Pipeline(pg.name, source, destination, load=QUICK, observers=observers)
        return pipeline.run(cancel=cancel)

    with in_thread(run) as live:
        live.wait_rows(1)
        walsender = live.until(lambda: pg.query(WALSENDER))
        armed.set()
        pg.execute("insert into t values (-1, 'x')")
        live.until(blocked.is_set)
        pg.execute("insert into t select n, repeat(md5(n::text), 30) from generate_series(1, 30000) n")
        live.wait_rows(30002)
        assert pg.query(WALSENDER) == walsender
    assert live.retries() == []
    assert sorted(destination.ids(Stream("public", "t"))) == [-1, *range(30001)]
