"""Channels of Snowpipe Streaming: what is accepted, what is committed, and who may still append.

Accepted is not committed: rows wait for `commit_delay` and are then written to the store in the order in
which the channel accepted them, with their offset token. Opening a channel again takes it over: the sequencer
grows, the tokens of whoever had it before are stale, and what was accepted but not committed is dropped
(`on_reopen`).
"""

from __future__ import annotations

import pickle
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.channel import Batch, Channel, Key
from etl_snowflake.emulator.cursors import Cursor
from etl_snowflake.emulator.errors import ApiError, SnowflakeError
from etl_snowflake.emulator.lines import load_lines
from etl_snowflake.emulator.loading import Loaded
from etl_snowflake.emulator.store import remember

if TYPE_CHECKING:
    from etl_snowflake.emulator.account import Account

_LONGEST_PIPE = 255


class Channels:
    """All channels, and the thread that commits what they accepted."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._channels: dict[Key, Channel] = {}
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._loop, name="channels", daemon=True)

    def _restore(self) -> None:
        """Read the channels of an earlier life."""
        for saved in self._account.store.recall_all("channel "):
            values: dict[str, Any] = pickle.loads(saved)  # noqa: S301 - our own file
            path, identity = values["table"]
            table = self._account.catalog.find(path)
            if table is not None and table.identity == identity:
                channel = Channel(**{**values, "table": table})
                self._channels[channel.key] = channel

    def start(self) -> None:
        """Begin to commit."""
        self._restore()
        self._thread.start()

    def stop(self) -> None:
        """End; what is not committed is lost, as with a service that fails."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(10)

    def table_of(self, database: str, schema: str, pipe: str) -> Table:
        """Give the table of a default pipe."""
        if len(pipe.strip('"')) > _LONGEST_PIPE:
            raise ApiError(400, "ERR_INVALID_PIPE_NAME", "The pipe's name is too long.")
        name = pipe.removesuffix("-STREAMING").removesuffix("-streaming").strip('"')
        for candidate in (name, name.upper()):
            try:
                table = self._account.catalog.find((database, schema, candidate))
            except SnowflakeError:
                table = None
            if table is not None:
                return table
        raise ApiError(
            404, "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED", "The pipe does not exist or is not authorized."
        )

    def open(self, key: Key, name: str, table: Table, body: dict[str, Any]) -> Channel:
        """Open a channel, which takes it from whoever had it."""
        with self._changed:
            channel = self._channels.get(key)
            if channel is None or channel.table.identity != table.identity:
                channel = self._channels[key] = Channel(key, name, table)
            self._settle(channel)
            if body.get("offset_token") is not None:
                channel.committed = body["offset_token"]
            channel.sequencer += 1
            channel.turn = 0
            self._account.store.remember(channel.saved_as, channel.saved())
            return channel

    def _settle(self, channel: Channel) -> None:
        """Do with what is not committed yet as the switch says; never let it be committed afterwards."""
        how = self._account.faults.switches.on_reopen
        if how == "refuse" and (channel.pending or channel.flying):
            raise ApiError(409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA", "The channel has uncommitted rows.")
        if how == "discard":
            channel.pending.clear()
        quiet = self._changed.wait_for(lambda: not channel.flying and not channel.pending, 60)
        if not quiet:
            raise ApiError(503, "ERR_SERVICE_UNAVAILABLE", "The channel is busy.")

    def get(self, key: Key) -> Channel:
        """Give an open channel."""
        channel = self._channels.get(key)
        if channel is None:
            text = "The channel does not exist or is not authorized."
            raise ApiError(404, "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED", text)
        return channel

    def append(self, key: Key, continuation: str | None, batches: list[tuple[bytes, str | None]]) -> str:
        """Accept rows, if the client's token is the one that comes next; give the token after it."""
        with self._changed:
            channel = self.get(key)
            sequencer, _, _ = (continuation or "").partition("_")
            if sequencer != str(channel.sequencer):
                raise ApiError(
                    400, "STALE_CONTINUATION_TOKEN_SEQUENCER", "The channel was opened by another client."
                )
            if continuation != channel.continuation:
                raise ApiError(400, "STALE_CONTINUATION_TOKEN", "The continuation token is not the latest.")
            due = time.monotonic() + self._account.faults.switches.commit_delay
            channel.pending.extend(Batch(body, token, due) for body, token in batches)
            channel.turn += 1
            self._changed.notify_all()
            return channel.continuation

    def drop(self, key: Key) -> Channel | None:
        """Forget a channel and its token."""
        with self._changed:
            channel = self._channels.pop(key, None)
            if channel is not None:
                channel.pending.clear()
                self._account.store.remember(channel.saved_as, None)
            return channel

    def take_over(self, name: str, *, turn: bool = False) -> int:
        """Open channels of a name as another client would (or only spoil their continuation token)."""
        with self._changed:
            found = [each for each in self._channels.values() if name in {each.name, "*"}]
            for channel in found:
                if turn:
                    channel.turn += 1000
                else:
                    channel.pending.clear()
                    channel.sequencer += 1
                    channel.turn = 0
            return len(found)

    def all(self) -> list[Channel]:
        """Give every channel."""
        with self._changed:
            return list(self._channels.values())

    def _loop(self) -> None:
        while True:
            with self._changed:
                if self._over:
                    return
                ready = self._ready()
                if not ready:
                    self._changed.wait(self._pause())
                    continue
            for channel, batches in ready:
                self._commit(channel, batches)

    def _pause(self) -> float:
        dues = [channel.pending[0].due for channel in self._channels.values() if channel.pending]
        return min(1.0, max(0.02, min(dues, default=1.0 + time.monotonic()) - time.monotonic()))

    def _ready(self) -> list[tuple[Channel, list[Batch]]]:
        if not self._account.faults.switches.commits:
            return []
        now, ready = time.monotonic(), []
        for channel in self._channels.values():
            batches = []
            while not channel.flying and channel.pending and channel.pending[0].due <= now:
                batches.append(channel.pending.popleft())
            if batches:
                channel.flying = True
                ready.append((channel, batches))
        return ready

    def _commit(self, channel: Channel, batches: list[Batch]) -> None:
        loads: list[Loaded] = []

        def write(cursor: Cursor) -> None:
            loads.clear()
            switches = self._account.faults.switches
            loads.extend(load_lines(cursor, channel.table, each.body, switches) for each in batches)
            after = replace(channel)
            for batch, load in zip(batches, loads, strict=True):
                after.count(batch, load)
            remember(cursor, channel.saved_as, after.saved())

        def done() -> None:
            self._committed(channel, batches, loads)

        try:
            self._account.transactions.stream(write, done)
        except (duckdb.Error, SnowflakeError) as error:
            self._failed(channel, str(error))

    def _committed(self, channel: Channel, batches: list[Batch], loads: list[Loaded]) -> None:
        with self._changed:
            for batch, load in zip(batches, loads, strict=True):
                channel.count(batch, load)
                self._account.journal.count(
                    rows_streamed=load.loaded, rows_rejected=load.errors, stream_commits=1
                )
            channel.flying = False
            self._changed.notify_all()

    def _failed(self, channel: Channel, message: str) -> None:
        """The table is gone: nothing of it can be committed any more."""
        with self._changed:
            channel.error, channel.error_at = message, int(time.time() * 1000)
            channel.pending.clear()
            channel.sequencer += 1
            channel.flying = False
            self._changed.notify_all()
