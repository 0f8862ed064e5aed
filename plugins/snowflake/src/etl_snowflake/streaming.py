"""Channels of Snowpipe Streaming: rows go in with the seq of the last one as their offset token.

A token is the 40 hex digits of an `_etl_seq`, so that tokens compare as text. A channel belongs to one pipeline,
one table and one generation; opening it takes it from whoever had it before, whose appends then fail with
StateError. Two writers stand behind one small interface; `streaming:` chooses. See `StreamWriter`.
"""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa
from attrs import frozen

from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig

__all__ = ["Channel", "ChannelState", "Place", "StreamWriter", "channel_name", "writer"]


@frozen
class Place:
    """The table that a channel writes into: exact names, not quoted."""

    database: str
    schema: str
    table: str


@frozen
class ChannelState:
    """What the service says about a channel; `committed` and `errors` belong together."""

    committed: str | None
    """The token up to which all rows were committed or refused."""
    errors: int
    """How many rows were refused since the channel was made, without another word."""


class StreamWriter(Protocol):
    """One channel, as a client of the service serves it. Used by one thread, but for `state`."""

    def open(self) -> ChannelState:
        """Take the channel from whoever has it. What was appended and not committed is lost."""

    def append(self, lines: bytes, count: int, first: str, last: str) -> None:
        """Hand over rows (NDJSON) with the tokens of the first and the last. Accepted is not committed.

        Waits while the client is full. Raises StateError when another client opened the channel.
        """

    def state(self) -> ChannelState:
        """Ask what is committed; any thread. Asks over the network; the answer may be a second old."""

    def close(self) -> None:
        """Release everything; what is not committed may be or may not."""


def channel_name(pipeline: str, table: str, generation: int) -> str:
    """Return a channel's name: unique per pipeline, table and generation, in plain characters."""
    raise NotImplementedError


def writer(config: SnowflakeConfig, place: Place, name: str) -> StreamWriter:
    """Return the writer that `streaming:` names, not yet open."""
    raise NotImplementedError


class Channel:
    """A stream's channel: rows in the shape of its table in, tokens out."""

    opened: ChannelState
    """What the service said when the channel was opened."""

    def __init__(self, writer: StreamWriter, name: str) -> None:
        raise NotImplementedError

    def append(self, rows: pa.Table, first: str, last: str) -> None:
        """Encode and hand over rows, whose columns are named like the table's, with their hex seqs.

        Raises StateError when another copy took the channel.
        """
        raise NotImplementedError

    def state(self) -> ChannelState:
        """Ask what is committed; any thread."""
        raise NotImplementedError

    def close(self) -> None:
        """Release everything."""
        raise NotImplementedError
