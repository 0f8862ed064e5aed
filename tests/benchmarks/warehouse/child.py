"""One run in a process of its own: what to do on stdin, what it took on stdout.

Usage: python -m benchmarks.warehouse.child (with `tests` on the path)

The clock starts when the client is connected and its channel open, every kernel was used once, and the rows
lie in memory. It ends when the last row is committed, or where there is no service when all is encoded.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from benchmarks.speed.clock import Moment, peak_memory
from benchmarks.warehouse import rows as data

from etl_core import Duration
from etl_snowflake.client import Session, client_rows
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.encoding import Lines, lines
from etl_snowflake.streaming import Place, StreamWriter

__all__ = ["WAYS"]

#: Rows of one write, about what a pipeline hands over.
_WRITE = 16_384
_PAUSE = 0.1
_PATIENCE = 300.0

#: Sends some rows, all of them committed on return.
Load = Callable[[pa.Table], None]


def columnwise(rows: pa.Table) -> Iterator[Lines]:
    """Encode as the destination does."""
    return lines(rows, rows.column(data.SEQ))


def by_row(rows: pa.Table) -> Lines:
    """Encode dicts by a JSON encoder, each row by itself: what a writer takes."""
    encode = msgspec.json.Encoder().encode_lines
    text = encode(rows.to_pylist()).decode().splitlines(keepends=True)
    return Lines(pa.array(text), rows.column(data.SEQ).combine_chunks())


def _writes(rows: pa.Table) -> Iterator[pa.Table]:
    return (rows.slice(start, _WRITE) for start in range(0, rows.num_rows, _WRITE))


@contextmanager
def encoding_dicts(told: Mapping[str, Any]) -> Iterator[Load]:
    """`to_pylist` and the encoder that the vendor's client has: nothing is sent."""
    encode = msgspec.json.Encoder().encode_lines

    def load(rows: pa.Table) -> None:
        for write in _writes(rows):
            encode(write.to_pylist())

    yield load


@contextmanager
def encoding(told: Mapping[str, Any]) -> Iterator[Load]:
    """Ours, as REST is handed it: nothing is sent."""

    def load(rows: pa.Table) -> None:
        for write in _writes(rows):
            for part in columnwise(write):
                bytes(part.body)

    yield load


@contextmanager
def encoding_raw(told: Mapping[str, Any]) -> Iterator[Load]:
    """Ours as the vendor's client is handed it, with that client's own encoder after it: nothing is sent."""
    encode = msgspec.json.Encoder().encode_lines

    def load(rows: pa.Table) -> None:
        for write in _writes(rows):
            for part in columnwise(write):
                encode(client_rows(part.body, "base64"))

    yield load


@contextmanager
def sdk(told: Mapping[str, Any]) -> Iterator[Load]:
    """Ours through the vendor's client."""
    from etl_snowflake.sdk import SdkWriter

    with _open(SdkWriter, told) as writer:
        yield lambda rows: _stream(writer, rows, lambda write: _all(writer, columnwise(write)))


@contextmanager
def sdk_dicts(told: Mapping[str, Any]) -> Iterator[Load]:
    """The vendor's client as its documentation shows it: dicts."""
    from etl_snowflake.sdk import SdkWriter

    with _open(SdkWriter, told) as writer:
        channel = writer._channel

        def append(write: pa.Table) -> None:
            dicts = write.to_pylist()
            channel.append_rows(dicts, dicts[0][data.SEQ], dicts[-1][data.SEQ])

        yield lambda rows: _stream(writer, rows, append)


@contextmanager
def rest(told: Mapping[str, Any]) -> Iterator[Load]:
    """Ours by the public protocol."""
    from etl_snowflake.rest import RestWriter

    with _open(RestWriter, told) as writer:
        yield lambda rows: _stream(writer, rows, lambda write: _all(writer, columnwise(write)))


@contextmanager
def rest_dicts(told: Mapping[str, Any]) -> Iterator[Load]:
    """The same protocol, with dicts and a JSON encoder before it."""
    from etl_snowflake.rest import RestWriter

    with _open(RestWriter, told) as writer:
        yield lambda rows: _stream(writer, rows, lambda write: writer.append(by_row(write)))


@contextmanager
def bulk(told: Mapping[str, Any]) -> Iterator[Load]:
    """Parquet, PUT and COPY."""
    from etl_snowflake.bulk import Bulk

    session = Session(_config(told))
    try:
        session.execute("SELECT 1")
        loader = Bulk(session, told["stage"], Path(told["directory"]))
        yield lambda rows: _ignored(
            loader.load(told["quoted"], rows, directory=told["table"], name=str(rows.num_rows))
        )
    finally:
        session.close()


def _ignored(value: object) -> None:
    """A load answers nothing."""


def _all(writer: StreamWriter, parts: Iterator[Lines]) -> None:
    for part in parts:
        writer.append(part)


def _stream(writer: StreamWriter, rows: pa.Table, append: Callable[[pa.Table], None]) -> None:
    for write in _writes(rows):
        append(write)
    last, deadline = rows.column(data.SEQ)[-1].as_py(), time.monotonic() + _PATIENCE
    while writer.state().committed != last:
        if time.monotonic() > deadline:
            raise TimeoutError("rows were not committed in time")
        time.sleep(_PAUSE)


@contextmanager
def _open(kind: Callable[..., Any], told: Mapping[str, Any]) -> Iterator[Any]:
    writer = kind(_config(told), Place(*told["place"]), "benchmark", _slept)
    writer.open()
    try:
        yield writer
    finally:
        writer.close()


def _slept(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def _config(told: Mapping[str, Any]) -> SnowflakeConfig:
    settings: dict[str, Any] = {**told["config"], "network_timeout": Duration(_PATIENCE)}
    settings |= {name: Path(settings[name]) for name in ("private_key_path", "authorities")}
    return SnowflakeConfig(**settings)


WAYS: dict[str, Any] = {
    "encode-dicts": encoding_dicts,
    "encode-columns": encoding,
    "encode-columns-sdk": encoding_raw,
    "sdk-dicts": sdk_dicts,
    "sdk": sdk,
    "rest": rest,
    "rest-dicts": rest_dicts,
    "bulk": bulk,
}


def main() -> None:
    """Load all rows but the first few, which come before the clock starts; print one line of JSON."""
    told = json.loads(sys.stdin.readline())
    rows, first = data.read(told["rows"]).slice(0, told["last"]), told["first"]
    with WAYS[told["way"]](told) as load:
        load(rows.slice(0, first))
        started = Moment.now()
        load(rows.slice(first))
        ended = Moment.now()
        peak = peak_memory()
    print(json.dumps({"seconds": ended.wall - started.wall, "cpu": ended.cpu - started.cpu, "peak": peak}))


if __name__ == "__main__":
    main()
