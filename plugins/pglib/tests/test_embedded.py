from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from etl_core.errors import ConfigError, FatalError
from etl_pglib import processes
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database


def wait_until(condition: Callable[[], object], deadline: float = 20.0) -> None:
    until = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < until, "condition not met in time"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    return processes.Postmaster(pid=0, port=port).answers()


def test_data_and_port_outlive_restart_and_crash(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    try:
        server.start()
        dsn = server.create_database("shop")
        with psycopg.connect(dsn) as connection:
            connection.execute("create table kept (a int)")
        server.restart()
        with psycopg.connect(dsn) as connection:
            connection.execute("insert into kept values (1)")
        server.kill()
        assert not accepts(server.port)
        server.start()
        with psycopg.connect(dsn) as connection:
            assert connection.execute("select * from kept").fetchall() == [(1,)]
    finally:
        server.close()
    assert (server.home / "data" / "PG_VERSION").exists()
    with (
        EmbeddedPostgres(tmp_path / "pg", temporary=True) as again,
        psycopg.connect(again.dsn_of("shop")) as connection,
    ):
        assert connection.execute("select * from kept").fetchall() == [(1,)]
    assert not server.home.exists()
    assert not server.directory.exists()


def test_settings_passwords_and_socket(pg_private: Callable[..., EmbeddedPostgres]) -> None:
    server = pg_private(settings={"work_mem": "5MB"}, hba=["host all reader 127.0.0.1/32 reject"])
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        assert connection.execute("show work_mem").fetchone() == ("5MB",)
        connection.execute("create role scram_one login password 'sesame'")
        connection.execute("create role reader login")
    dsn = server.dsn.replace("postgres@", "scram_one:sesame@")
    psycopg.connect(dsn).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn.replace("sesame", "guess"))
    with pytest.raises(psycopg.OperationalError, match="rejects"):
        psycopg.connect(server.dsn.replace("postgres@", "reader@"))
    assert server.socket_directory is not None
    psycopg.connect(host=str(server.socket_directory), port=server.port, user="postgres").close()


def test_a_server_that_cannot_start_says_why_at_once(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg", settings={"wal_level": "nonsense"}, temporary=True)
    with pytest.raises(FatalError, match=r"did not start .*wal_level"), server:
        pass
    assert not server.home.exists()


def test_a_taken_port_is_left_for_another(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", temporary=True) as server, socket.socket() as taken:
        server.stop()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        server.start()
        assert server.port != taken.getsockname()[1]
        psycopg.connect(server.dsn).close()


def test_a_failing_program_is_an_error_with_its_message(pg_server: EmbeddedPostgres, pg: Database) -> None:
    with pytest.raises(FatalError) as raised:
        pg_server.create_database(pg.name)
    assert "already exists" in str(raised.value.hint)


def test_an_unknown_version_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="version=9"):
        EmbeddedPostgres(tmp_path, version=9, temporary=True).__enter__()


OWNER = """
import sys, pathlib
from etl_pglib.embedded import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1]), temporary=True)
server.share()
print(server.port, flush=True)
sys.stdin.read()
server.release()
"""


class Owner:
    """Another process that shares a server."""

    def __init__(self, directory: Path) -> None:
        command = [sys.executable, "-c", OWNER, str(directory)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def end(self, number: int | None = None) -> None:
        if number is not None:
            os.kill(self.process.pid, number)
        self.process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory file locks there; see processes.lock")
def test_a_shared_server_ends_with_its_last_owner_however_it_dies(tmp_path: Path) -> None:
    first, second = Owner(tmp_path / "pg"), Owner(tmp_path / "pg")
    try:
        assert first.port == second.port
        first.end(signal.SIGKILL)
        assert accepts(second.port)
    finally:
        second.end(signal.SIGKILL)
    wait_until(lambda: not accepts(second.port))
    wait_until(lambda: not (tmp_path / "pg").exists())


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory file locks there; see processes.lock")
def test_who_comes_while_the_last_owner_leaves_gets_a_server_of_its_own(tmp_path: Path) -> None:
    leaving = Owner(tmp_path / "pg")
    leaving.end()
    coming = EmbeddedPostgres(tmp_path / "pg", temporary=True)
    coming.share()
    psycopg.connect(coming.dsn).close()
    coming.close()
    assert not (tmp_path / "pg").exists()


def test_sharing_a_server_of_this_process_starts_no_second(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "pg", temporary=True) as server:
        guest = EmbeddedPostgres(tmp_path / "pg", temporary=True)
        guest.share()
        assert guest.port == server.port
        guest.close()
        psycopg.connect(server.dsn).close()


def test_a_server_left_running_is_found_and_stopped_later(tmp_path: Path) -> None:
    first = EmbeddedPostgres(tmp_path / "pg", temporary=True)
    first.start()
    first.leave()
    later = EmbeddedPostgres(tmp_path / "pg", temporary=True)
    try:
        later.share()
        assert later.port == first.port
        psycopg.connect(later.dsn).close()
    finally:
        later.stop()
        later.close()
    assert not accepts(later.port)
    assert not (tmp_path / "pg").exists()
