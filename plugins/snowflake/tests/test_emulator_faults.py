from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pyarrow as pa
import pytest
from snowflake.connector.errors import DatabaseError
from snowflake.ingest.streaming import StreamingIngestClient, StreamingIngestError

from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until

Query = Callable[..., list[Any]]
Stream = Callable[..., StreamingIngestClient]
Committed = Callable[[Any, str], bool]


@pytest.fixture
def channel(query: Query, stream: Stream, schema: str) -> Any:
    query("CREATE TABLE land (id INT, s VARCHAR)")
    return stream("LAND").open_channel(f"faulty-{schema}")[0]


@pytest.mark.parametrize(
    "status", [429, 401, *(pytest.param(each, marks=pytest.mark.slow) for each in (500, 503))]
)
def test_an_append_that_is_refused_for_a_while_is_repeated(
    channel: Any, query: Query, emulator: Emulator, status: int, committed: Committed
) -> None:
    emulator.fault("rows", status=status, body={"code": "TRY_LATER", "message": ""})
    channel.append_row({"ID": 1}, "1")
    assert committed(channel, "1")
    assert query("SELECT count(*) FROM land") == [(1,)]
    assert emulator.counts()["requests_rows"] >= 2


def test_an_expired_token_is_exchanged_anew(
    channel: Any, query: Query, emulator: Emulator, committed: Committed
) -> None:
    emulator.control("expire", {})
    channel.append_row({"ID": 1}, "1")
    assert committed(channel, "1")
    assert emulator.counts()["tokens"] >= 1


def test_a_spoiled_continuation_token_makes_the_channel_invalid(
    channel: Any, query: Query, emulator: Emulator
) -> None:
    assert emulator.control("channels", {"channel": channel.channel_name, "how": "stale"}) == {"channels": 1}
    channel.append_row({"ID": 1}, "1")
    with pytest.raises(StreamingIngestError, match="InvalidChannelError"):
        persist(channel)
    assert query("SELECT count(*) FROM land") == [(0,)]


def test_a_channel_that_another_takes_over_is_lost(channel: Any, query: Query, emulator: Emulator) -> None:
    emulator.control("channels", {"channel": channel.channel_name, "how": "takeover"})
    channel.append_row({"ID": 1}, "1")
    with pytest.raises(StreamingIngestError, match="InvalidChannelError"):
        persist(channel)
    assert query("SELECT count(*) FROM land") == [(0,)]


def persist(channel: Any) -> None:
    """Append until the client has heard of its loss."""
    for number in range(50):
        channel.wait_for_flush(10)
        wait_until(lambda: False, 0.1)
        channel.append_row({"ID": 2}, f"2{number}")


def test_commits_that_are_late_and_commits_that_do_not_come(
    channel: Any, query: Query, emulator: Emulator, committed: Committed
) -> None:
    emulator.switch(commits=False)
    channel.append_row({"ID": 1}, "1")
    channel.wait_for_flush(10)
    found = emulator.control("channels")[-1]
    assert wait_until(lambda: emulator.control("channels")[-1]["batches_pending"] == 1), found
    assert channel.get_latest_committed_offset_token() is None
    assert query("SELECT count(*) FROM land") == [(0,)]
    emulator.switch(commits=True)
    assert committed(channel, "1")


@pytest.mark.parametrize(("how", "kept"), [("discard", 0), ("commit", 1)])
def test_what_was_not_committed_when_a_channel_is_opened_again(
    channel: Any, query: Query, stream: Stream, emulator: Emulator, how: str, kept: int
) -> None:
    emulator.switch(commits=False, on_reopen=how)
    channel.append_row({"ID": 1}, "1")
    channel.wait_for_flush(10)
    assert wait_until(lambda: emulator.control("channels")[-1]["batches_pending"] == 1)
    emulator.switch(commits=how == "commit")
    _, status = stream("LAND").open_channel(channel.channel_name)
    assert status.latest_committed_offset_token == ("1" if kept else None)
    assert query("SELECT count(*) FROM land") == [(kept,)]


def test_uncommitted_rows_can_refuse_the_next_open(channel: Any, stream: Stream, emulator: Emulator) -> None:
    emulator.switch(commits=False, on_reopen="refuse")
    channel.append_row({"ID": 1}, "1")
    channel.wait_for_flush(10)
    assert wait_until(lambda: emulator.control("channels")[-1]["batches_pending"] == 1)
    emulator.switch(commit_delay=0.1)
    client = stream("LAND")
    emulator.switch(commits=True)
    assert wait_until(lambda: emulator.control("channels")[-1]["batches_pending"] == 0)
    assert client.open_channel(channel.channel_name)[1].latest_committed_offset_token == "1"


def test_rows_are_dropped_without_a_word(
    channel: Any, query: Query, emulator: Emulator, committed: Committed
) -> None:
    emulator.switch(reject=[{"table": "LAND", "column": "S", "matching": "^poison"}])
    channel.append_rows([{"ID": 1, "S": "good"}, {"ID": 2, "S": "poison 2"}, {"ID": 3}], "1", "3")
    assert committed(channel, "3")
    status = channel.get_channel_status()
    assert (status.rows_inserted_count, status.rows_error_count) == (2, 1)
    assert status.last_error_message
    assert query("SELECT id FROM land ORDER BY id") == [(1,), (3,)]


def test_an_append_that_never_arrived_is_repeated(
    channel: Any, query: Query, emulator: Emulator, committed: Committed
) -> None:
    emulator.fault("rows", cut="before")
    channel.append_row({"ID": 1}, "1")
    assert committed(channel, "1")
    assert query("SELECT count(*) FROM land") == [(1,)]


def test_an_append_whose_answer_is_lost_costs_the_channel_but_no_row(
    channel: Any, query: Query, stream: Stream, emulator: Emulator
) -> None:
    """The client repeats it with a token that is not good any more; the next open tells what is committed."""
    emulator.fault("rows", cut="after")
    channel.append_row({"ID": 1}, "1")
    with pytest.raises(StreamingIngestError, match="InvalidChannelError"):
        persist(channel)
    assert wait_until(lambda: query("SELECT count(*) FROM land") == [(1,)])
    _, status = stream("LAND").open_channel(channel.channel_name)
    assert status.latest_committed_offset_token == "1"


@pytest.mark.parametrize("route", ["hostname", "token", "pipe-info", "open"])
def test_a_channel_is_opened_though_a_request_of_it_fails_once(
    query: Query, stream: Stream, emulator: Emulator, route: str
) -> None:
    query("CREATE TABLE land (id INT)")
    emulator.fault(route, status=503, body={"code": "TRY_LATER", "message": ""})
    _, status = stream("LAND").open_channel("first")
    assert status.latest_committed_offset_token is None
    assert emulator.control("faults") == []


def test_a_login_that_is_refused_for_a_while_is_repeated(
    connect: Callable[..., Any], emulator: Emulator
) -> None:
    emulator.fault("login", status=503)
    assert connect().cursor().execute("SELECT 1").fetchall() == [(1,)]
    assert emulator.counts()["requests_login"] >= 2


def test_a_merge_whose_answer_is_lost_was_done(query: Query, emulator: Emulator) -> None:
    """The driver repeats the request with the same id, and gets the answer of the first."""
    query("CREATE TABLE t (a INT)")
    emulator.fault("sql", match="^INSERT", cut="after")
    assert query("INSERT INTO t VALUES (1)") == [(1,)]
    assert query("SELECT count(*) FROM t") == [(1,)]


def test_a_query_that_is_refused_for_a_while_is_repeated(query: Query, emulator: Emulator) -> None:
    emulator.fault("sql", match="^SELECT", status=503, times=1)
    assert query("SELECT 1") == [(1,)]


def test_a_statement_fails_as_told(query: Query, emulator: Emulator) -> None:
    error = {"code": "000625", "state": "57014", "message": "Statement was aborted."}
    emulator.fault("sql", match="^SELECT 1", after=1, error=error)
    assert query("SELECT 1") == [(1,)]
    with pytest.raises(DatabaseError) as caught:
        query("SELECT 1")
    assert caught.value.errno == 625
    assert query("SELECT 1") == [(1,)]


def test_a_stage_that_is_slow_and_one_that_fails(
    query: Query, emulator: Emulator, parquet: Callable[..., Path]
) -> None:
    query("CREATE STAGE stg")
    path = parquet(pa.table({"A": [1]}))
    emulator.fault("put", delay=0.5)
    emulator.fault("put", status=503, times=1, body="<Error><Code>SlowDown</Code></Error>")
    assert query(f"PUT file://{path} @stg AUTO_COMPRESS = FALSE")[0][6] == "UPLOADED"
    assert emulator.counts()["requests_put"] >= 2 or emulator.control("faults") != []


def test_a_file_that_the_stage_refuses(
    stream: Stream, query: Query, emulator: Emulator, committed: Committed
) -> None:
    query("CREATE TABLE land (id INT, s VARCHAR)")
    emulator.switch(flush_kb=16)
    channel, _ = stream("LAND").open_channel("blobs")
    emulator.fault("blob", status=503, body="")
    emulator.fault("filebuffer", status=503, body={"code": "TRY_LATER", "message": ""})
    channel.append_rows([{"ID": each, "S": "x" * 100} for each in range(2000)], "1", "2")
    assert committed(channel, "2")
    assert query("SELECT count(*), count(DISTINCT id) FROM land") == [(2000, 2000)]


def test_words_that_are_not_known(emulator: Emulator) -> None:
    for path, body in (("faults", {"route": "sql", "colour": "red"}), ("switches", {"colour": "red"})):
        with pytest.raises(HTTPError, match="400"):
            emulator.control(path, body)
    emulator.fault("sql", status=503)
    assert [each["route"] for each in emulator.control("faults")] == ["sql"]
    assert emulator.control("faults", method="DELETE") == []
