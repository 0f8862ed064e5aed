"""The writer that stands on the vendor's streaming client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from etl_core import AuthError, RetryableError
from etl_snowflake.client import binary_format, client_rows, sdk_client, sdk_errors
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.encoding import Binary, Lines
from etl_snowflake.streaming import ChannelState, Place, Wait

__all__ = ["SdkWriter"]

#: Bytes handed over in one call.
_MOST = 8 << 20
#: The client is full, and says so.
_FULL = frozenset({"MemoryThresholdExceeded", "MemoryThresholdExceededInContainer", "ReceiverSaturated"})
_PAUSE = 0.2


class SdkWriter:
    """See `StreamWriter`. The client has threads of its own, which end at `close`."""

    def __init__(self, config: SnowflakeConfig, place: Place, name: str, wait: Wait) -> None:
        self._config = config
        self._place = place
        self._name = name
        self._wait = wait
        self._client: Any = None
        self._channel: Any = None
        self.binary: Binary | None = None

    def open(self) -> ChannelState:
        """Take the channel from whoever has it."""
        if self._client is None:
            self._client = sdk_client(self._config, self._name, self._place.schema, self._place.table)
        with sdk_errors():
            self._channel, status = self._client.open_channel(self._name)
        self.binary = binary_format(self._channel)
        return _state(status)

    def append(self, lines: Lines) -> None:
        """Hand over rows; waits while the client is full."""
        for part in lines.cut(_MOST):
            deadline = time.monotonic() + self._config.network_timeout
            while not self._took(part):
                if time.monotonic() > deadline or self._wait(_PAUSE):
                    raise RetryableError("the streaming client stayed full", channel=self._name)

    def _took(self, part: Lines) -> bool:
        try:
            with _open_errors():
                self._channel.append_rows(
                    client_rows(part.body, self.binary or "base64"), part.first, part.last
                )
        except RetryableError as error:
            if error.facts.get("kind") in _FULL:
                return False
            raise
        return True

    def state(self) -> ChannelState:
        """Ask what is committed; the client asks the service about once a second."""
        channel = self._channel
        if channel is None:
            raise RetryableError("the channel is closed", channel=self._name)
        with _open_errors():
            return _state(channel.get_channel_status())

    def drop(self) -> None:
        """Have the service forget the channel."""
        channel, self._channel = self._channel, None
        with sdk_errors():
            channel.close(drop=True, wait_for_flush=False)

    def close(self) -> None:
        """Release everything, without waiting for what is on its way."""
        channel, client, self._channel, self._client = self._channel, self._client, None, None
        for each in (channel, client):
            if each is not None:
                _close(each)


@contextmanager
def _open_errors() -> Iterator[None]:
    """A client that is let in no longer may have a key that was replaced: one made anew reads it."""
    try:
        with sdk_errors():
            yield
    except AuthError as error:
        raise RetryableError(
            "the streaming client has to log in again", code=error.facts.get("code")
        ) from None


def _close(each: Any) -> None:
    try:
        with sdk_errors():
            each.close(wait_for_flush=False)
    except Exception:  # noqa: BLE001, S110 - a channel that was taken over cannot be closed, and need not be
        pass


def _state(status: Any) -> ChannelState:
    return ChannelState(status.latest_committed_offset_token, status.rows_error_count)
