from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Literal

import pyarrow as pa
import pytest
from attrs import evolve

from etl_core import AuthError, ConfigError, Duration, RetryableError, SchemaError, StateError
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.streaming import Channel, ChannelState, Place, StreamWriter, channel_name, writer

Mode = Literal["sdk", "rest"]
Open = Callable[..., Channel]


def never(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def seq(number: int) -> str:
    return f"{number:040x}"


def rows(*numbers: int, text: str = "x") -> tuple[pa.Table, pa.Array]:
    table = pa.table({"ID": pa.array(numbers, pa.int64()), "S": [text] * len(numbers)})
    return table, pa.array([seq(number) for number in numbers])


#: The vendor's client takes seconds where the other takes none: these are for where there is time.
BOTH = pytest.mark.parametrize("mode", ["rest", pytest.param("sdk", marks=pytest.mark.slow)])


@pytest.fixture(params=["sdk", "rest"])
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


@pytest.fixture
def table(session: Session, schema: str) -> str:
    session.execute(f'CREATE TABLE "{schema}"."LAND" (ID INT NOT NULL, S VARCHAR)')
    return f'"{schema}"."LAND"'


@pytest.fixture
def open_channel(config: SnowflakeConfig, schema: str, table: str, mode: Mode) -> Iterator[Open]:
    with ExitStack() as stack:

        def one(
            name: str = "c", to: str = "LAND", patience: float = 10, wait: Any = never, **changed: Any
        ) -> Channel:
            settings = evolve(config, streaming=mode, **changed)
            made = writer(settings, Place(config.database, schema, to), name, wait)
            stack.callback(made.close)
            return Channel(made, name, wait=wait, patience=patience)

        yield one


def settled(channel: Channel, token: str | None = None) -> bool:
    return wait_until(lambda: channel.state().committed == (token or channel.sent))


def test_rows_arrive_with_the_token_of_the_last(open_channel: Open, session: Session, table: str) -> None:
    channel = open_channel()
    assert channel.opened == ChannelState(None, 0)
    assert channel.append(*rows(1, 2)) > 20
    channel.append(*rows(3, text="it's \\ \u2603"))
    assert channel.sent == seq(3)
    assert settled(channel)
    found = session.execute(f"SELECT * FROM {table} ORDER BY ID")
    assert found == [(1, "x"), (2, "x"), (3, "it's \\ \u2603")]


@BOTH
def test_much_is_cut_into_requests(
    open_channel: Open, session: Session, table: str, emulator: Emulator, mode: Mode
) -> None:
    channel = open_channel()
    count = 100_000
    channel.append(*rows(*range(count), text="y" * 80))
    assert settled(channel)
    assert session.execute(f"SELECT COUNT(*), COUNT(DISTINCT ID) FROM {table}") == [(count, count)]
    assert emulator.counts().get("appends", 0) >= (3 if mode == "rest" else 0)


def test_a_channel_opened_again_knows_its_token(open_channel: Open, session: Session, table: str) -> None:
    first = open_channel()
    first.append(*rows(1))
    assert settled(first)
    first.close()
    second = open_channel()
    assert second.opened == ChannelState(seq(1), 0)
    second.append(*rows(2))
    assert settled(second)
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(2,)]


def persist(channel: Channel) -> None:
    """Append until the client has heard of its loss."""
    deadline = time.monotonic() + 20
    number = 1
    while time.monotonic() < deadline:
        channel.append(*rows(number))
        channel.state()
        number += 1
        time.sleep(0.05)


def test_the_last_to_open_a_channel_has_it(open_channel: Open, session: Session, table: str) -> None:
    first, second = open_channel(), open_channel()
    with pytest.raises(StateError, match="another copy"):
        persist(first)
    second.append(*rows(7))
    assert settled(second)
    assert session.execute(f"SELECT ID FROM {table}") == [(7,)]


@BOTH
def test_a_spoiled_continuation_is_a_reason_to_open_again(open_channel: Open, emulator: Emulator) -> None:
    channel = open_channel("spoiled")
    emulator.control("channels", {"channel": "spoiled", "how": "stale"})
    with pytest.raises(RetryableError, match="streaming request failed"):
        persist(channel)


PASSING: list[dict[str, Any]] = [
    {"status": 401, "body": {"code": "390144", "message": ""}},
    {"status": 429, "headers": {"Retry-After": "0"}, "body": {"code": "TRY_LATER", "message": ""}},
    {"status": 503, "times": 2, "body": ""},
    {"cut": "before"},
    {"delay": 0.5},
]
#: The vendor's client takes seconds for each: all of them only where there is time.
FAULTS = [("rest", fault) for fault in PASSING] + [
    pytest.param("sdk", fault, marks=[] if fault is PASSING[0] else pytest.mark.slow) for fault in PASSING
]


@pytest.mark.parametrize(("mode", "fault"), FAULTS)
def test_an_append_goes_through_what_passes(
    open_channel: Open, session: Session, table: str, emulator: Emulator, fault: dict[str, Any]
) -> None:
    channel = open_channel()
    emulator.fault("rows", **fault)
    channel.append(*rows(1, 2))
    assert settled(channel)
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(2,)]


@BOTH
def test_an_append_whose_answer_is_lost_is_taken_once(
    open_channel: Open, session: Session, table: str, emulator: Emulator
) -> None:
    """The client repeats it; where the service refuses the repetition, all is read again."""
    channel = open_channel()
    emulator.fault("rows", cut="after")
    try:
        channel.append(*rows(1, 2))
        settled(channel)
    except RetryableError:
        channel.close()
        assert open_channel().opened.committed in {None, seq(2)}
    assert session.execute(f"SELECT COUNT(*) FROM {table}")[0][0] in {0, 2}


@BOTH
def test_an_expired_token_is_exchanged(
    open_channel: Open, session: Session, table: str, emulator: Emulator
) -> None:
    channel = open_channel()
    channel.append(*rows(1))
    assert settled(channel)
    emulator.control("expire", {})
    channel.append(*rows(2))
    assert settled(channel)
    assert session.execute(f"SELECT COUNT(*) FROM {table}") == [(2,)]
    assert emulator.counts()["tokens"] >= 2


@BOTH
def test_commits_that_are_late(open_channel: Open, session: Session, table: str, emulator: Emulator) -> None:
    emulator.switch(commits=False)
    channel = open_channel()
    channel.append(*rows(1))
    assert wait_until(lambda: emulator.control("channels")[-1]["batches_pending"] == 1)
    assert channel.state().committed is None
    emulator.switch(commits=True)
    assert settled(channel)


@BOTH
def test_opening_waits_while_rows_are_being_committed(open_channel: Open, emulator: Emulator) -> None:
    emulator.switch(commits=False, on_reopen="refuse")
    first = open_channel()
    first.append(*rows(1))
    assert wait_until(lambda: emulator.control("channels")[-1]["batches_pending"] == 1)
    first.close()
    timer = threading.Timer(0.3, emulator.switch, kwargs={"commits": True})
    timer.start()
    assert open_channel().opened.committed == seq(1)
    timer.join()


@pytest.mark.parametrize("mode", ["rest"])
def test_opening_does_not_wait_for_ever(open_channel: Open, emulator: Emulator) -> None:
    emulator.switch(commits=False, on_reopen="refuse")
    first = open_channel()
    first.append(*rows(1))
    assert wait_until(lambda: emulator.control("channels")[-1]["batches_pending"] == 1)
    first.close()
    with pytest.raises(RetryableError) as caught:
        open_channel(patience=0)
    assert caught.value.facts["code"] == "ERR_CHANNEL_HAS_UNCOMMITTED_DATA"
    with pytest.raises(RetryableError):
        open_channel(wait=lambda seconds: True)


def test_rows_that_are_refused_are_counted(open_channel: Open, emulator: Emulator) -> None:
    emulator.switch(reject=[{"table": "LAND", "column": "S", "matching": "^poison"}])
    channel = open_channel()
    channel.append(*rows(1))
    channel.append(*rows(2, text="poison"))
    assert settled(channel)
    assert channel.state() == ChannelState(seq(2), 1)
    channel.close()
    assert open_channel().opened == ChannelState(seq(2), 1)


def test_no_table(open_channel: Open) -> None:
    with pytest.raises(AuthError, match="no such table"):
        open_channel(to="NOWHERE")


@BOTH
def test_a_name_that_is_not_plain(open_channel: Open, session: Session, schema: str) -> None:
    session.execute(f'CREATE TABLE "{schema}"."Größe/1" (ID INT, S VARCHAR)')
    channel = open_channel(to="Größe/1")
    channel.append(*rows(1))
    assert settled(channel)
    assert session.execute(f'SELECT COUNT(*) FROM "{schema}"."Größe/1"') == [(1,)]


@BOTH
def test_values_that_cannot_be_streamed(open_channel: Open) -> None:
    channel = open_channel()
    with pytest.raises(SchemaError, match="NaN"):
        channel.append(pa.table({"ID": [1.0, math.nan]}), pa.array([seq(1), seq(2)]))
    assert channel.sent is None


def test_a_closed_channel(open_channel: Open) -> None:
    channel = open_channel()
    channel.close()
    channel.close()
    with pytest.raises(RetryableError, match="closed"):
        channel.state()


@pytest.mark.parametrize("mode", ["rest"])
def test_a_request_is_given_up_in_time(open_channel: Open, emulator: Emulator) -> None:
    channel = open_channel(network_timeout=Duration(1))
    emulator.fault("rows", status=503, times=100, body="")
    with pytest.raises(RetryableError, match="streaming request failed"):
        channel.append(*rows(1))
    emulator.fault("rows", status=429, times=100, headers={"Retry-After": "60"}, body="")
    with pytest.raises(RetryableError) as caught:
        channel.append(*rows(1))
    assert caught.value.retry_after in {None, 60.0}


@pytest.mark.parametrize("mode", ["rest"])
def test_a_login_that_is_refused(open_channel: Open) -> None:
    with pytest.raises(AuthError, match="refused the login"):
        open_channel(user="NOBODY")


@pytest.mark.parametrize("mode", ["rest"])
def test_a_service_that_is_not_there(open_channel: Open) -> None:
    with pytest.raises(RetryableError, match="could not be reached"):
        open_channel(port=1, network_timeout=Duration(1))


@pytest.mark.parametrize("mode", ["sdk"])
def test_a_full_client_is_waited_for(open_channel: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    channel = open_channel(wait=waits.append)
    inner: Any = channel._writer
    append, full = inner._channel.append_rows, [True, True, False]

    def sometimes(*arguments: Any) -> None:
        if full.pop(0):
            raise RuntimeError('{"error_code": "MemoryThresholdExceeded", "message": "full"}')
        append(*arguments)

    monkeypatch.setattr(inner._channel, "append_rows", rethrowing(sometimes))
    channel.append(*rows(1))
    assert settled(channel)
    assert len(waits) == 2
    full[:] = [True] * 2
    monkeypatch.setattr(inner, "_wait", lambda seconds: True)
    with pytest.raises(RetryableError, match="stayed full"):
        channel.append(*rows(2))


@pytest.mark.parametrize("mode", ["sdk"])
def test_a_client_that_is_not_let_in_any_more_is_made_anew(
    open_channel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = open_channel()
    inner: Any = channel._writer

    def refused() -> None:
        raise RuntimeError('{"error_code": "SfApiAuthError", "message": "HTTP 401, error_code=390144,"}')

    monkeypatch.setattr(inner._channel, "get_channel_status", rethrowing(refused))
    with pytest.raises(RetryableError, match="log in again") as caught:
        channel.state()
    assert caught.value.facts == {"code": "390144"}


def rethrowing(call: Callable[..., None]) -> Callable[..., None]:
    from snowflake.ingest.streaming._utils import _rethrow_ffi_errors

    wrapped: Callable[..., None] = _rethrow_ffi_errors(call)
    return wrapped


QUIET = """
import sys, time
from pathlib import Path
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.streaming import Channel, Place, writer
names = "account user role database warehouse host port private_key_path authorities".split()
settings = dict(zip(names, sys.argv[1:]))
settings["port"] = int(settings["port"])
for name in ("private_key_path", "authorities"):
    settings[name] = Path(settings[name])
config = SnowflakeConfig(**settings)
made = writer(config, Place(config.database, sys.argv[10], "LAND"), "quiet", time.sleep)
Channel(made, "quiet", wait=time.sleep, patience=5).close()
"""


def test_the_vendors_client_says_nothing_on_stdout(config: SnowflakeConfig, schema: str, table: str) -> None:
    names = [
        "account",
        "user",
        "role",
        "database",
        "warehouse",
        "host",
        "port",
        "private_key_path",
        "authorities",
    ]
    arguments = [str(getattr(config, name)) for name in names]
    command = [sys.executable, "-c", QUIET, *arguments, schema]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout == ""


def test_a_channels_name_is_plain_and_its_own() -> None:
    names = {
        channel_name(*each)
        for each in [("p", "T", 0), ("p", "T", 1), ("p", "t", 0), ("q", "T", 0), ("pT", "", 0)]
    }
    assert len(names) == 5
    odd = channel_name("shop/ü " * 50, "T", 3)
    assert odd.isascii()
    assert len(odd) < 100
    assert odd.endswith("-g3")


def test_streaming_that_is_off(config: SnowflakeConfig) -> None:
    with pytest.raises(ConfigError, match="streaming is off"):
        writer(evolve(config, streaming="off"), Place("D", "S", "T"), "c", never)


def test_both_writers_are_stream_writers(config: SnowflakeConfig) -> None:
    for mode in ("sdk", "rest"):
        made: StreamWriter = writer(evolve(config, streaming=mode), Place("D", "S", "T"), "c", never)
        made.close()
