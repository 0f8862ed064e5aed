"""Bytes and moments that are streamed: in the way in which the pipe takes them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Literal

import pyarrow as pa
import pytest
from attrs import evolve

from etl_core import ConfigError
from etl_snowflake.client import Session, binary_format
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.streaming import Channel, Place, writer

NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
SEQS = pa.array([f"{number:040x}" for number in (1, 2)])
ROWS = pa.table({"ID": [1, 2], "B": [b"\x00\xff", bytes.fromhex("abcd")], "AT": pa.array([NOON, None])})


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@pytest.fixture
def table(session: Session, schema: str) -> str:
    session.execute(f'CREATE TABLE "{schema}"."LAND" (ID INT, B BINARY, AT TIMESTAMP_TZ)')
    return f'"{schema}"."LAND"'


@pytest.fixture
def hex_pipe(emulator: Emulator) -> Iterator[None]:
    emulator.switch(binary="HEX")
    yield
    emulator.switch(binary="BASE64")


def _channel(config: SnowflakeConfig, schema: str, mode: Literal["sdk", "rest"]) -> Channel:
    settings = evolve(config, streaming=mode)
    made = writer(settings, Place(config.database, schema, "LAND"), "c", _wait)
    return Channel(made, "c", wait=_wait, patience=10)


@pytest.mark.usefixtures("hex_pipe")
def test_a_pipe_that_takes_hex_is_given_hex(
    config: SnowflakeConfig, schema: str, session: Session, table: str
) -> None:
    channel = _channel(config, schema, "sdk")
    assert channel.takes(ROWS)
    channel.append(ROWS, SEQS)
    assert wait_until(lambda: channel.state().committed == SEQS[-1].as_py())
    found = session.execute(f"SELECT ID, TO_VARCHAR(B, 'HEX'), AT FROM {table} ORDER BY ID")
    assert found == [(1, "00FF", NOON), (2, "ABCD", None)]
    assert channel.state().errors == 0
    channel.close()


@pytest.mark.usefixtures("table")
def test_where_nothing_says_how_bytes_are_taken_none_are_streamed(
    config: SnowflakeConfig, schema: str
) -> None:
    channel = _channel(config, schema, "rest")
    assert not channel.takes(ROWS)
    assert not channel.takes(ROWS.set_column(1, "B", ROWS["B"].dictionary_encode()))
    assert channel.takes(ROWS.drop_columns(["B"]))
    assert channel.takes(ROWS.rename_columns(["ID", "_ETL_SEQ", "AT"])), "no history could be streamed"
    channel.close()


def test_a_pipe_that_takes_text_only_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot hold all of them"):
        binary_format(SimpleNamespace(_binary_input_format="PyBinaryInputFormat.UTF8"))
