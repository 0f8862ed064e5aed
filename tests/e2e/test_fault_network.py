"""A network that cuts, stalls and delays: the pipeline goes on by itself, with exactly the right rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.live import Copy
from support.tcp_proxy import TcpProxy

from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

ROWS = 20_000
TABLE = "create table t (id int primary key, v int not null, pad text)"
FILL = f"insert into t select n, 0, repeat(md5(n::text), 8) from generate_series(1, {ROWS}) n"


@pytest.fixture
def own(pg: Database) -> Database:
    """A database whose walsenders soon give up a connection from which nothing comes."""
    pg.execute(f"alter database {pg.name} set wal_sender_timeout = '2s'")
    return pg


@pytest.fixture
def proxy(own: Database) -> Iterator[TcpProxy]:
    with TcpProxy(own.server.port) as proxy:
        yield proxy


@pytest.fixture
def copy(own: Database, proxy: TcpProxy, tmp_path: Path) -> Copy:
    """A pipeline that reaches its server through the proxy."""
    return Copy(own, tmp_path, dsn=proxy.through(own.dsn))


@contextmanager
def writing(own: Database) -> Iterator[list[int]]:
    """Write small transactions as long as the block; the list grows with each."""
    stop, done = threading.Event(), list[int]()

    def write() -> None:
        with own.connect() as connection:
            while not stop.wait(0.01):
                done.append(len(done))
                key = 1_000_000 + len(done)
                connection.execute("insert into t values (%s, 1, 'x'), (-%s, 1, 'y')", [key, key])
                connection.execute("update t set v = v + 1 where id = %s", [key])
                connection.execute("delete from t where id = -%s", [key])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def history_is_whole(copy: Copy, transactions: int) -> None:
    """Assert that a history has each change of these transactions once."""
    found = dict(copy.select("select _etl_op::varchar, count(*) from public.t group by all"))
    assert found == {"i": 2 * transactions, "u": transactions, "d": transactions}
    assert copy.select("select count(*) - count(distinct _etl_seq) from public.t") == [(0,)]


@pytest.mark.parametrize("load", ["upsert", "append"])
def test_cuts_in_the_middle_of_a_snapshot(own: Database, proxy: TcpProxy, copy: Copy, load: str) -> None:
    own.execute(TABLE, FILL)
    copy.load = load
    proxy.cut_after(2_000_000)
    with copy.running() as live:
        live.until(lambda: proxy.cuts == 1, "the first cut")
        proxy.cut_after(1_000_000)
        live.until(lambda: proxy.cuts == 2, "the second cut")
        own.execute("insert into t values (0, 1, 'after')")
        live.until(lambda: live.named("snapshot_finished"))
        own.execute("insert into t values (-1, 1, 'last')")
        live.wait_rows()
    assert live.retries()  # cuts that come close together are one
    copy.once()
    if load == "upsert":
        copy.assert_equal()
    else:
        counts = "select count(*), count(distinct id), count(distinct _etl_seq) from public.t"
        assert copy.select(counts) == [(ROWS + 2,) * 3]


@pytest.mark.parametrize("load", ["upsert", "append"])
def test_cuts_in_the_middle_of_the_stream(own: Database, proxy: TcpProxy, copy: Copy, load: str) -> None:
    own.execute(TABLE)
    copy.load = load
    copy.once()
    with copy.running() as live, writing(own) as done:
        live.wait_rows()
        for _ in range(4):
            proxy.cut()
            live.wait_rows(40, beyond=live.written())
    assert len(live.retries()) >= 4
    copy.once()
    if load == "upsert":
        copy.assert_equal()
    else:
        history_is_whole(copy, len(done))


def test_a_cut_inside_a_large_transaction(own: Database, proxy: TcpProxy, copy: Copy) -> None:
    own.execute(TABLE)
    copy.once()
    own.execute(FILL, "update t set v = 1 where id % 3 = 0")
    proxy.cut_after(2_000_000)
    copy.once()
    assert proxy.cuts == 1
    copy.assert_equal()


def test_a_short_stall_is_nothing(own: Database, proxy: TcpProxy, copy: Copy) -> None:
    own.execute(TABLE)
    with copy.running() as live, writing(own):
        live.wait_rows()
        proxy.stall()
        before = live.written()
        threading.Event().wait(0.5)
        proxy.resume()
        live.wait_rows(40, beyond=before)
    assert live.retries() == []
    copy.once()
    copy.assert_equal()


def test_a_slow_network_is_only_slow(own: Database, proxy: TcpProxy, copy: Copy) -> None:
    own.execute(TABLE)
    proxy.delay(0.02)
    with copy.running() as live, writing(own):
        live.wait_rows(100)
    assert live.retries() == []
    proxy.delay(0)
    copy.once()
    copy.assert_equal()
