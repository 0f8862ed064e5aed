"""A server that restarts or crashes under a pipeline: it goes on by itself, with exactly the right rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.live import Copy
from support.servers import database, own_server
from support.tcp_proxy import TcpProxy

from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

pytestmark = pytest.mark.timeout(120)

ROWS = 20_000
TABLE = "create table t (id int primary key, v int not null, pad text)"
FILL = f"insert into t select n, 0, repeat(md5(n::text), 8) from generate_series(1, {ROWS}) n"
SETTINGS = {"wal_sender_timeout": "2s"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server that may be ended."""
    with own_server(tmp_path_factory.mktemp("server"), SETTINGS) as server:
        yield server


@pytest.fixture
def own(server: EmbeddedPostgres) -> Iterator[Database]:
    with database(server) as found:
        yield found


@pytest.fixture
def copy(own: Database, tmp_path: Path) -> Copy:
    return Copy(own, tmp_path)


def crash(server: EmbeddedPostgres) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("end", [EmbeddedPostgres.restart, crash])
def test_a_server_that_restarts_in_the_middle_of_a_snapshot(
    own: Database, copy: Copy, end: Callable[[EmbeddedPostgres], None]
) -> None:
    own.execute(TABLE, FILL, "create table u (id int primary key)", "insert into u values (1)")
    with TcpProxy(own.server.port) as proxy:
        copy.dsn = proxy.through(own.dsn)
        proxy.stall_after(2_000_000)
        with copy.running() as live:
            live.until(lambda: proxy.stalled, "the copy under way")
            end(own.server)
            own.execute("insert into t values (0, 1, 'after')")
            proxy.cut()
            proxy.resume()
            live.until(lambda: len(live.named("snapshot_finished")) == 2)
            own.execute("insert into t values (-1, 1, 'last')")
            live.wait_rows()
        assert live.retries()
        copy.once()
        copy.assert_equal("t", "u")


@pytest.mark.parametrize("end", [EmbeddedPostgres.restart, crash])
@pytest.mark.parametrize("load", ["upsert", "append"])
def test_a_server_that_restarts_in_the_middle_of_the_stream(
    own: Database, copy: Copy, end: Callable[[EmbeddedPostgres], None], load: str
) -> None:
    own.execute(TABLE)
    copy.load = load
    copy.once()
    with copy.running() as live:
        live.until(copy.streaming)
        own.execute(FILL)
        live.wait_rows(1)
        end(own.server)
        own.execute("update t set v = 1 where id % 2 = 0", "delete from t where id = 7")
        live.wait_rows(ROWS + ROWS // 2 + 1)
    assert live.retries()
    copy.once()
    if load == "upsert":
        copy.assert_equal()
    else:
        counts = "select count(*), count(distinct _etl_seq) from public.t"
        assert copy.select(counts) == [(ROWS + ROWS // 2 + 1,) * 2]
