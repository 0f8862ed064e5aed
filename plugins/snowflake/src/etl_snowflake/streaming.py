"""Channels of Snowpipe Streaming: rows go in with the seq of the last one as their offset token.

A token is the 40 hex digits of an `_etl_seq`, so that tokens compare as text. A channel belongs to one
pipeline, one table and one generation; opening it takes it from whoever had it before, whose appends then
fail with StateError.

Two writers stand behind one small interface, and `streaming:` chooses. Both are handed lines that are
encoded already. The vendor's client (`sdk`, the default) documents rows as dicts, which would mean a Python
object for every value; what it does with them is to write them as JSON lines with msgspec, and msgspec
writes a `Raw` as it is. So each row is handed over as one `Raw`, through the public method: that keeps the
client's throughput (files through the stage, memory limits, retries) at a tenth of the CPU. `rest` speaks
the documented public protocol itself, for machines on which the client does not run or may not write its
files: requests of at most 3.8 MB, no process-wide log or trust settings, but 1 MB/s per channel where the
client has 12. Calling the client's private `_channel.append_rows` would save little more, and break with
any release.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import pyarrow as pa
from attrs import frozen

from etl_core import SEQ, ConfigError, EtlError
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.encoding import Binary, Lines, is_speakable, lines
from etl_snowflake.jsontext import is_binary

__all__ = ["Channel", "ChannelState", "Place", "StreamWriter", "Wait", "channel_name", "writer"]

#: Wait so many seconds; say whether to give up, as `Cancel.wait` does.
Wait = Callable[[float], object]

#: What was appended before is still being committed.
_UNCOMMITTED = "ERR_CHANNEL_HAS_UNCOMMITTED_DATA"
_PAUSE = 0.5
_LONGEST = 60


@frozen
class Place:
    """The table that a channel writes into: exact names, not quoted."""

    database: str
    schema: str
    table: str

    @property
    def pipe(self) -> str:
        """The pipe that every table has by itself."""
        return f"{self.table}-STREAMING"


@frozen
class ChannelState:
    """What the service says about a channel; `committed` and `errors` belong together."""

    committed: str | None
    """The token up to which all rows were committed or refused."""
    errors: int
    """How many rows were refused since the channel was made, without another word."""


class StreamWriter(Protocol):
    """One channel, as a client of the service serves it. Used by one thread, but for `state`."""

    binary: Binary | None
    """How the pipe takes bytes, once the channel is open; None where nothing documented says so."""

    def open(self) -> ChannelState:
        """Take the channel from whoever has it. RetryableError while what it sent is being committed."""

    def append(self, lines: Lines) -> None:
        """Hand over rows with the token of the last. Accepted is not committed.

        Waits while the client is full. Raises StateError when another client opened the channel.
        """

    def state(self) -> ChannelState:
        """Ask what is committed; any thread. Asks over the network; the answer may be a second old."""

    def drop(self) -> None:
        """Have the service forget the channel; what is committed stays. Raises where that fails."""

    def close(self) -> None:
        """Release everything; what is not committed may be or may not."""


def channel_name(pipeline: str, table: str, generation: int) -> str:
    """Return a channel's name: unique per pipeline, table and generation, in plain characters."""
    digest = hashlib.sha256(f"{pipeline}\0{table}".encode()).hexdigest()[:12]
    plain = re.sub(r"[^A-Za-z0-9_]", "_", pipeline)[:_LONGEST]
    return f"{plain}-{digest}-g{generation}"


def writer(config: SnowflakeConfig, place: Place, name: str, wait: Wait) -> StreamWriter:
    """Return the writer that `streaming:` names, not yet open. `wait` is the run's `cancel.wait`."""
    if config.streaming == "sdk":
        from etl_snowflake.sdk import SdkWriter

        return SdkWriter(config, place, name, wait)
    if config.streaming == "rest":
        from etl_snowflake.rest import RestWriter

        return RestWriter(config, place, name, wait)
    raise ConfigError("streaming is off", setting="streaming")


class Channel:
    """A stream's channel: rows in the shape of its table in, tokens out."""

    opened: ChannelState
    """What the service said when the channel was opened."""
    sent: str | None = None
    """The token of the last row that was handed over."""

    def __init__(self, writer: StreamWriter, name: str, *, wait: Wait, patience: float) -> None:
        """Open the channel; waits up to `patience` seconds while earlier rows of it are being committed."""
        self.name = name
        self._writer = writer
        self._wait = wait
        self.opened = self._open(patience)

    def _open(self, patience: float) -> ChannelState:
        while True:
            try:
                return self._writer.open()
            except EtlError as error:
                if error.facts.get("code") != _UNCOMMITTED or patience <= 0 or self._wait(_PAUSE):
                    self._writer.close()
                    raise
            patience -= _PAUSE

    def append(
        self,
        rows: pa.Table,
        seqs: pa.ChunkedArray | pa.Array,
        shown: Callable[[memoryview], object] = lambda body: None,
    ) -> int:
        """Encode and hand over rows, whose columns are named like the table's, with their seqs (hex).

        `shown` is called with the lines before they are sent. Returns the bytes handed over. Raises
        StateError when another copy took the channel, SchemaError for values that cannot be streamed: ask
        `takes` first.
        """
        count = 0
        for part in lines(rows, seqs, self._writer.binary or "base64"):
            body = part.body
            shown(body)
            self._writer.append(part)
            self.sent = part.last
            count += len(body)
        return count

    def takes(self, rows: pa.Table) -> bool:
        """Whether rows can be streamed; where it is not known how bytes are taken, no column may have any.

        `_etl_seq` may: base64 of it is no hex, so that a pipe which takes the other refuses it, and says so.
        """
        known = self._writer.binary is not None
        return is_speakable(rows) and (known or not any(map(_has_bytes, rows.schema)))

    def state(self) -> ChannelState:
        """Ask what is committed; any thread."""
        return self._writer.state()

    def close(self, *, drop: bool = False) -> None:
        """Release everything; `drop`: nobody opens the channel again, which the service need not keep."""
        if drop:
            with suppress(EtlError):  # a channel that is left over does no harm
                self._writer.drop()
        self._writer.close()


def _has_bytes(field: pa.Field) -> bool:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return is_binary(kind) and field.name.lower() != SEQ
