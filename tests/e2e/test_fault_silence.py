"""A network that forgets connections without a word: the source notices by itself, and can be stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.live import Copy
from support.tcp_proxy import TcpProxy

from etl_pglib.testing import Database
from etl_postgres_cdc import streaming

#: Bytes by which a question was asked, not only a status sent.
QUESTION = 200
REFRESH = 0.2

FILL = "insert into t select n, repeat(md5(n::text), 8) from generate_series(1, 20000) n"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def proxy(pg: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TcpProxy]:
    """To a database whose walsenders soon give up a connection from which nothing comes."""
    monkeypatch.setattr(streaming, "_ANSWER", 3.0)
    pg.execute(
        f"alter database {pg.name} set wal_sender_timeout = '2s'", "create table t (id int primary key)"
    )
    with TcpProxy(pg.server.port) as proxy:
        yield proxy


@pytest.fixture
def copy(pg: Database, proxy: TcpProxy, tmp_path: Path) -> Copy:
    return Copy(pg, tmp_path, dsn=proxy.through(pg.dsn))


def test_a_stream_that_went_silent_is_read_again(pg: Database, proxy: TcpProxy, copy: Copy) -> None:
    with copy.running() as live:
        live.until(copy.streaming)
        proxy.forget()
        pg.execute("insert into t select generate_series(1, 100)")
        live.wait_rows(100)
    assert live.retries()
    copy.once()
    copy.assert_equal()


def test_a_run_whose_connections_went_silent_can_be_stopped(
    pg: Database, proxy: TcpProxy, copy: Copy
) -> None:
    """Also where it waits for an answer of the catalog: every refresh asks something."""
    with copy.running(refresh=REFRESH) as live:
        live.until(copy.streaming)
        proxy.forget()
        asked = time.monotonic() + 10 * REFRESH  # it waits by then, if only for an answer on its way
        live.until(lambda: proxy.swallowed > QUESTION or time.monotonic() > asked)
        live.cancel.set()
        assert live.ended.wait(8), "the run does not end"
    copy.once()
    copy.assert_equal()


def test_a_copy_whose_connections_went_silent_can_be_stopped(
    pg: Database, proxy: TcpProxy, copy: Copy
) -> None:
    """That a copy went silent TCP has to notice: by keepalives, and by what is not acknowledged."""
    pg.execute("alter table t add pad text", FILL)
    proxy.stall_after(1_000_000)
    with copy.running() as live:
        live.until(lambda: proxy.stalled)
        proxy.forget()
        proxy.resume()
        live.cancel.set()
        assert live.ended.wait(8), "the run does not end"
    copy.once()
    copy.assert_equal()
