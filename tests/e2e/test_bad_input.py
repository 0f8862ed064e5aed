"""Bad input: a clear error with a hint, the documented exit code, nothing lost, no secret printed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.shop import Shop

pytestmark = pytest.mark.timeout(120)


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_an_unreachable_server(shop: Shop) -> None:
    shop.write(extract={"dsn": f"postgresql://u:hunter2@127.0.0.1:{unused_port()}/db"})
    printed = shop.once(expect=1)
    assert "hunter2" not in printed
    assert "127.0.0.1" in printed or "refused" in printed


def test_a_wrong_password_is_never_printed(shop: Shop) -> None:
    shop.database.execute("create role alice login replication password 'right'")
    host = shop.database.dsn.split("@")[1]
    shop.write(extract={"dsn": f"postgresql://alice:hunter2wrong@{host}"})
    for command in (("check",), ("run", "--once"), ("discover",)):
        done = shop.cli(*command, str(shop.document))
        assert "hunter2wrong" not in done.stdout + done.stderr
    shop.database.execute("drop role alice")


def test_unknown_settings_and_missing_variables_are_all_reported_at_once(shop: Shop) -> None:
    shop.write(load={"batchs": {}}, extract={"tabels": ["x"], "dsn": "${NO_SUCH_DSN}"})
    done = shop.cli("check", str(shop.document))
    printed = done.stdout + done.stderr
    assert done.returncode == 2
    for expected in ("load.batchs", "batch", "extract.tabels", "tables", "NO_SUCH_DSN"):
        assert expected in printed


def test_a_missing_plugin_says_how_to_install_it(shop: Shop) -> None:
    shop.write(destination={"use": "zerobus", "path": "x"})
    done = shop.cli("run", "--once", str(shop.document))
    assert done.returncode == 3
    assert "pip install etl-zerobus" in done.stdout + done.stderr


def test_a_duckdb_file_locked_by_another_process(shop: Shop) -> None:
    shop.once()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; c = duckdb.connect({str(shop.file)!r}); print('open', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        shop.database.execute("delete from orders where id = 1")
        printed = shop.once(expect=1)
        assert "shop.duckdb" in printed
    finally:
        holder.communicate("\n", timeout=20)
    shop.once()
    shop.assert_equal()


def test_a_file_that_is_no_database(shop: Shop) -> None:
    shop.file.write_text("a text file, not a database" * 100)
    done = shop.cli("run", "--once", str(shop.document))
    assert done.returncode in (1, 2)
    assert "shop.duckdb" in done.stdout + done.stderr
    assert shop.file.read_text().startswith("a text file")


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0, reason="mounts a small file system, which needs root"
)
def test_a_full_disk_stops_the_run_and_loses_nothing(shop: Shop) -> None:
    small = shop.directory / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        shop.write(destination={"path": str(small / "shop.duckdb")})
        shop.once()
        ballast = small / "ballast"
        ballast.write_bytes(b"x" * (10 << 20))
        shop.database.execute(
            "insert into orders select n, 'c', 1, md5(n::text) || md5((-n)::text) "
            "from generate_series(1000, 60000) n"
        )
        printed = shop.once(expect=1)
        assert "Traceback" not in printed
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        shop.once()
        with duckdb.connect(str(small / "shop.duckdb"), read_only=True) as connection:
            assert connection.execute("select count(*) from public.orders").fetchall() == [(59101,)]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_read_only_directory(shop: Shop, tmp_path: Path) -> None:
    shop.write(destination={"path": "/proc/shop.duckdb"})
    done = shop.cli("run", "--once", str(shop.document))
    assert done.returncode in (1, 2)
    assert "/proc/shop.duckdb" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
