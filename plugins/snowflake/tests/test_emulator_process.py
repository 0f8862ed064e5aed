from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector
from hypothesis import given
from hypothesis import strategies as st
from snowflake.ingest.streaming import StreamingIngestClient

from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.account import Names
from etl_snowflake.emulator.journal import understood
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.emulator.names import duck, fold, logical, physical, shown, split

_NAMES = Names()
_COMMAND = [sys.executable, "-m", "etl_snowflake.emulator"]


@given(st.text(), st.text())
def test_physical_names_are_as_many_as_logical_ones(one: str, other: str) -> None:
    assert logical(physical(one)) == one
    same = physical(one).translate(_UPPER) == physical(other).translate(_UPPER)
    assert same == (one == other)


_UPPER = {ord(each): each.upper() for each in "abcdefghijklmnopqrstuvwxyz"}


def test_names_are_taken_apart_and_folded() -> None:
    assert split('db . "Sche.ma"."T""able"') == ["DB", "Sche.ma", 'T"able']
    assert [fold("a", quoted=False), fold("a", quoted=True)] == ["A", "a"]
    assert [shown("AB_1"), shown("a")] == ["AB_1", '"a"']
    assert duck("a", 'b"') == '"a"."b"""'
    with pytest.raises(ValueError, match="1a"):
        split("1a")


def test_what_sqlglot_reads() -> None:
    assert understood("MERGE INTO a USING b ON a.i = b.i WHEN MATCHED THEN DELETE")
    assert not understood("EXECUTE TASK x")
    assert not understood("SELECT (")


@contextmanager
def streams(emulator: Emulator) -> Iterator[StreamingIngestClient]:
    with snowflake.connector.connect(**emulator.connector()) as connection:
        connection.cursor().execute("CREATE TABLE IF NOT EXISTS t (a INT)")
    properties = emulator.streaming()
    client = StreamingIngestClient.from_table(
        "kept", emulator.database, emulator.schema, "T", properties=properties
    )
    yield client
    client.close(wait_for_flush=False)


def first_life(emulator: Emulator, client: StreamingIngestClient, path: Path) -> None:
    with snowflake.connector.connect(**emulator.connector()) as connection:
        for sql in (
            "CREATE TEMPORARY TABLE brief AS SELECT 2 AS a",
            "CREATE STAGE stg",
            f"PUT file://{path} @stg AUTO_COMPRESS = FALSE",
        ):
            connection.cursor().execute(sql)
        channel, _ = client.open_channel("kept")
        channel.append_row({"A": 1}, "0001")
        channel.append_row({"A": "x"}, "0002")
        channel.wait_for_flush(20)
        assert wait_until(lambda: channel.get_latest_committed_offset_token() == "0002")


def second_life(emulator: Emulator, client: StreamingIngestClient) -> None:
    assert emulator.rows("t").to_pylist() == [{"A": 1}]
    assert emulator.control("rows?table=t&format=json") == [{"A": "1"}]
    channel, status = client.open_channel("kept")
    assert (status.latest_committed_offset_token, status.rows_error_count) == ("0002", 1)
    channel.close(drop=True)
    with snowflake.connector.connect(**emulator.connector()) as connection:
        cursor = connection.cursor()
        assert [row[1] for row in cursor.execute("SHOW TABLES").fetchall()] == ["T"]
        assert cursor.execute("LIST @stg").fetchall()[0][0] == "stg/file.txt"


def test_a_directory_keeps_rows_channels_keys_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("text")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "kept" / "ca.pem"))
    with Emulator.running(tmp_path / "kept") as first, streams(first) as client:
        first_life(first, client, path)
    with Emulator.running(tmp_path / "kept") as second, streams(second) as client:
        assert second.key == first.key
        second_life(second, client)
    with Emulator.running(tmp_path / "kept") as third:
        assert third.control("channels") == []
    assert "Traceback" not in (tmp_path / "kept" / "emulator.log").read_text()


def test_by_hand_it_says_how_to_use_it(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"route": "login", "status": 503}]))
    command = [*_COMMAND, "--user", "SOMEBODY", "--faults", str(faults), "--commit-delay", "1.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        lines = "".join(iter(process.stdout.readline, f"  database: {_NAMES.database}\n"))
        found = re.search(r"SSL_CERT_FILE=(.+)\n", lines)
        assert found is not None
        assert Path(found[1]).is_file()
        assert "  user: SOMEBODY\n" in lines
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert not Path(found[1]).exists()


def test_it_ends_with_who_started_it(tmp_path: Path) -> None:
    script = (
        "import os, sys, pathlib\n"
        "from etl_snowflake.emulator import Emulator\n"
        "with Emulator.running(pathlib.Path(sys.argv[1])) as emulator:\n"
        "    print(emulator.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=40, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert wait_until(lambda: not Path(f"/proc/{int(killed.stdout)}").exists() or zombie(int(killed.stdout)))


def zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_one_that_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="did not start"), Emulator.running(tmp_path, "--port", "x"):
        pass


def test_a_transaction_of_a_client_that_was_killed_is_rolled_back(
    emulator: Emulator, connect: Callable[..., Any], schema: str
) -> None:
    emulator.switch(transaction_idle=0.2)
    cursor = connect().cursor()
    cursor.execute("CREATE TABLE t AS SELECT 1 AS a")
    script = (
        "import json, os, sys, snowflake.connector\n"
        "cursor = snowflake.connector.connect(**json.loads(sys.argv[1])).cursor()\n"
        "cursor.execute('BEGIN')\n"
        "cursor.execute('UPDATE t SET a = 2')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    settings = json.dumps(emulator.connector(schema=schema))
    killed = subprocess.run([sys.executable, "-c", script, settings], timeout=40, check=False, env=os.environ)
    assert killed.returncode == -signal.SIGKILL
    cursor.execute("UPDATE t SET a = a + 10")
    assert cursor.execute("SELECT a FROM t").fetchall() == [(11,)]
    emulator.switch(transaction_idle=10.0)


def test_a_query_runs_on_its_own(connect: Callable[..., Any]) -> None:
    cursor = connect().cursor()
    cursor.execute("CREATE TABLE t (a INT)")
    cursor.execute_async("INSERT INTO t VALUES (1), (2)")
    cursor.get_results_from_sfqid(cursor.sfqid)
    assert cursor.fetchall() == [(2,)]
    assert cursor.execute("SELECT count(*) FROM t").fetchall() == [(2,)]


def test_a_statement_that_takes_long_is_answered_later(
    emulator: Emulator, connect: Callable[..., Any]
) -> None:
    cursor = connect().cursor()
    emulator.switch(answer_within=0)
    try:
        cursor.execute("CREATE TABLE t (a INT)")
        assert cursor.execute("INSERT INTO t VALUES (1), (2)").fetchall() == [(2,)]
        assert cursor.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
        with pytest.raises(snowflake.connector.errors.ProgrammingError):
            cursor.execute("SELECT b FROM t")
    finally:
        emulator.switch(answer_within=45.0)


@pytest.mark.parametrize(
    "sql", [f"SELECT 1 IN ({', '.join('1' * 16_385)})", f"SELECT '{'a' * (1 << 20)}'"], ids=["list", "text"]
)
def test_statements_have_an_end(connect: Callable[..., Any], sql: str) -> None:
    cursor = connect().cursor()
    with pytest.raises(snowflake.connector.errors.ProgrammingError):
        cursor.execute(sql)
