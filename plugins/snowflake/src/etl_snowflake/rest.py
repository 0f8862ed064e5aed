"""The writer that speaks the public REST protocol of Snowpipe Streaming, high-performance architecture.

The protocol is Snowflake's "Snowpipe Streaming REST API endpoints": a key-pair token asks for the host of
the data routes and is exchanged for a token of that host; opening a channel gives a continuation token,
which each append has to show and replaces. So an append whose answer was lost can be repeated: it cannot be
taken twice.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa

from etl_core import AuthError, EtlError, RetryableError
from etl_snowflake.auth import load_key
from etl_snowflake.breaker import Breaker, breaker
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.encoding import Binary, Lines
from etl_snowflake.errors import refused
from etl_snowflake.streaming import ChannelState, Place, Wait

__all__ = ["RestWriter"]

#: Bytes of a request before compression; the service takes 4 MB.
_MOST = 3_800_000
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LONGEST_PAUSE = 10.0
_LONGEST_REQUEST = 60.0
_NDJSON = {"Content-Type": "application/x-ndjson", "Content-Encoding": "zstd"}


class RestWriter:
    """See `StreamWriter`. The public protocol does not say how a pipe takes bytes."""

    binary: Binary | None = None

    def __init__(self, config: SnowflakeConfig, place: Place, name: str, wait: Wait) -> None:
        self._config = config
        self._wait = wait
        self._name = name
        names = (quote(each, safe="") for each in (place.database, place.schema, place.pipe))
        self._pipe = "databases/{}/schemas/{}/pipes/{}".format(*names)
        self._http: httpx.Client | None = None
        self._lock = threading.Lock()
        self._host = ""
        self._token = ""
        self._continuation = ""

    def open(self) -> ChannelState:
        """Take the channel from whoever has it."""
        if self._http is None:
            trusted = ssl.create_default_context(cafile=self._config.authorities)
            timeout = min(_LONGEST_REQUEST, self._config.network_timeout)
            self._http = httpx.Client(verify=trusted, timeout=timeout)
        answer = self._ask("PUT", self._channel(), json={"fail_on_uncommitted_rows": True})
        self._continuation = answer["next_continuation_token"]
        return _state(answer["channel_status"])

    def append(self, lines: Lines) -> None:
        """Hand over rows, in as many requests as it takes."""
        for part in lines.cut(_MOST):
            tokens = {"startOffsetToken": part.first, "endOffsetToken": part.last}
            answer = self._ask(
                "POST",
                f"{self._channel('data/')}/rows",
                params={"continuationToken": self._continuation, **tokens},
                content=pa.compress(part.body, codec="zstd", asbytes=True),
                headers=_NDJSON,
            )
            self._continuation = answer["next_continuation_token"]

    def state(self) -> ChannelState:
        """Ask what is committed."""
        path = f"/v2/streaming/{self._pipe}:bulk-channel-status"
        found = self._ask("POST", path, json={"channel_names": [self._name]})["channel_statuses"]
        if self._name not in found:
            raise RetryableError("the channel is gone", channel=self._name)
        return _state(found[self._name])

    def drop(self) -> None:
        """Have the service forget the channel."""
        self._ask("DELETE", self._channel())

    def close(self) -> None:
        """Release everything."""
        http, self._http = self._http, None
        if http is not None:
            http.close()

    def _channel(self, data: str = "") -> str:
        return f"/v2/streaming/{data}{self._pipe}/channels/{quote(self._name, safe='')}"

    def _ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        """Send a request to the data host; a token that is refused is exchanged once."""

        def send() -> httpx.Response:
            bearer = {"Authorization": f"Bearer {self._bearer()}", **(headers or {})}
            return self._request(method, f"https://{self._host}:{self._config.port}{path}", bearer, **more)

        try:
            return self._repeated(send).json()
        except AuthError as error:
            if error.facts.get("status") != 401:
                raise
            self._token = ""
        return self._repeated(send).json()

    def _request(self, method: str, url: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        if self._http is None:
            raise RetryableError("the channel is closed", channel=self._name)
        return self._http.request(method, url, headers=headers, **more)

    def _bearer(self) -> str:
        """Return the token of the data host; the key is read again for each."""
        with self._lock:
            if not self._token:
                config = self._config
                signed = load_key(config).token(config.account, config.user, config.role)
                headers = {
                    "Authorization": f"Bearer {signed}",
                    "X-Snowflake-Authorization-Token-Type": "KEYPAIR_JWT",
                }
                base = f"https://{config.address}:{config.port}"
                self._host = self._text(
                    lambda: self._request("GET", f"{base}/v2/streaming/hostname", headers)
                )
                form = {"grant_type": _GRANT, "scope": self._host}
                self._token = self._text(
                    lambda: self._request("POST", f"{base}/oauth/token", headers, data=form)
                )
            return self._token

    def _text(self, send: Callable[[], httpx.Response]) -> str:
        return self._repeated(send).text.strip()

    def _repeated(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send until there is an answer that repeating would not change, or the time is over."""
        deadline, pause = time.monotonic() + self._config.network_timeout, 0.2
        service = breaker(f"{self._config.address}:{self._config.port}")
        while True:
            self._take_turn(service, deadline)
            error, after = _attempt(send)
            if isinstance(error, httpx.Response):
                service.answered()
                return error
            pause = after if after is not None else min(_LONGEST_PAUSE, pause * 2)
            late = time.monotonic() + pause > deadline
            if isinstance(error, _Passing):
                service.failed(pause, asked=error.asked)
            if not isinstance(error, _Passing) or late or self._wait(pause * (0.5 + random.random() / 2)):  # noqa: S311
                raise _final(error)

    def _take_turn(self, service: Breaker, deadline: float) -> None:
        """Wait while nobody is to ask: what another channel was told counts for this one."""
        while rest := service.rest():
            if time.monotonic() + rest > deadline or self._wait(rest):
                raise RetryableError("Snowflake asks to be left alone for a while", retry_after=rest)


class _Passing(Exception):
    """A failure that a later request may not meet."""

    def __init__(self, ours: EtlError, *, asked: bool = False) -> None:
        self.ours = ours
        self.asked = asked


def _final(error: Exception) -> Exception:
    return error.ours if isinstance(error, _Passing) else error


def _attempt(send: Callable[[], httpx.Response]) -> tuple[httpx.Response | Exception, float | None]:
    """Return the answer, or what is wrong and how long the service asks to wait."""
    try:
        answer = send()
    except httpx.TransportError as error:
        return _Passing(RetryableError("Snowflake could not be reached", kind=type(error).__name__)), None
    if answer.is_success:
        return answer, None
    after = _seconds(answer.headers.get("Retry-After"))
    ours = refused(answer.status_code, _code(answer), after)
    if answer.status_code == 429 or answer.status_code >= 500:
        return _Passing(ours, asked=answer.status_code == 429 or after is not None), after
    return ours, after


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None


def _code(answer: httpx.Response) -> str | None:
    """Return the service's own code, from one of the two forms of its errors."""
    try:
        body = answer.json()
    except ValueError:
        return None
    found = body.get("code") or body.get("error_code") if isinstance(body, dict) else None
    return str(found) if found else None


def _state(status: dict[str, Any]) -> ChannelState:
    return ChannelState(status.get("last_committed_offset_token"), int(status.get("rows_error_count") or 0))
