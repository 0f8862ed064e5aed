"""A session over TLS: commands whose answers are read here, and copies whose bytes go to somebody else."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from attrs import define, field

from etl_core.errors import EtlError, FatalError, RetryableError
from etl_pglib import client, failures
from etl_pglib.secure import messages, trust
from etl_pglib.secure.channel import Deadline
from etl_pglib.secure.entering import enter
from etl_pglib.secure.messages import Malformed
from etl_pglib.secure.opening import open_channel
from etl_pglib.secure.parameters import Parameters, Unsupported
from etl_pglib.secure.wire import Wire

__all__ = ["Secure", "open_secure"]

#: Bytes of a message, and of all rows of an answer.
_LIMIT = 64 << 20
#: Seconds for a cancel.
_CANCEL = 5.0
#: Messages that need no answer: CommandComplete, RowDescription, EmptyQueryResponse, ParameterStatus,
#: NoticeResponse, NotificationResponse.
_QUIET = frozenset({b"C", b"T", b"I", b"S", b"N", b"A"})
_COPY_BOTH, _COPY_DATA, _COPY_DONE = b"W", b"d", b"c"
_COPIES = {b"H", _COPY_BOTH}
_DONE = messages.message(_COPY_DONE, b"")

_Rows = list[tuple[str | None, ...]]


def open_secure(
    connection: client.Connection, *, replication: bool, session: Mapping[str, str] = client.SESSION
) -> Secure | None:
    """Open a second session beside `connection`: the same server and user, TLS as strict, `session` set.

    With `replication` it is a logical walsender. `connection` is only looked at. Blocks for at most its
    connect_timeout. None where it has no TLS, or where something is asked for that only libpq can do.
    Raises AuthError, ConfigError or RetryableError as `client.connect` does.
    """
    if not connection.pgconn.ssl_in_use:
        return None
    try:
        parameters = Parameters.of(connection, replication=replication)
        return _open(parameters, trust.context(parameters), session)
    except Unsupported:
        return None


def _open(parameters: Parameters, context: ssl.SSLContext, session: Mapping[str, str]) -> Secure:
    deadline = Deadline.after(parameters.timeout)
    wire = Wire(open_channel(parameters, context, deadline))
    try:
        secure = Secure(wire, parameters, context, enter(wire, parameters, deadline))
        if session:
            secure.run(client.settings_sql(session), "setting up the session", lambda: deadline.left)
    except BaseException:
        wire.channel.close()
        raise
    return secure


@define(eq=False, repr=False)
class Secure:
    """A session, at first ready for a command. For one thread; `send`, `cancel` and `close` serve any."""

    _wire: Wire
    _parameters: Parameters
    _context: ssl.SSLContext
    #: Process and secret of the session at the server.
    _key: bytes
    #: A command was sent whose end was not seen.
    _busy: bool = field(init=False, default=False)
    _both: bool = field(init=False, default=False)
    _closed: bool = field(init=False, default=False)

    def __repr__(self) -> str:
        return f"<Secure {'closed' if self._closed else 'open'}>"

    def fileno(self) -> int:
        """Return the socket's descriptor; what TLS has of its bytes is `wait`'s to know."""
        return self._wire.channel.fileno()

    def run(
        self, sql: str, doing: str = "running a command", idle: Callable[[], object] | None = None
    ) -> _Rows:
        """Run a simple query and return its rows. Raises what `failures.executing` says of an error.

        `idle` is called at least every 0.1 s while the server works; after it has raised only `close` serves.
        """
        rows: _Rows = []
        if self._command(sql, doing, idle, rows):
            raise FatalError("the command starts a copy", doing=doing)
        return rows

    def begin(
        self, sql: str, doing: str = "starting a copy", idle: Callable[[], object] | None = None
    ) -> None:
        """Run a command that starts a copy to here or both ways; `fill` has its bytes. Raises as `run`."""
        if not self._command(sql, doing, idle, []):
            raise FatalError("the command starts no copy", doing=doing)

    def wait(self, timeout: float) -> bool:
        """Wait until there is something for `fill`, at most `timeout` seconds; say whether there is.

        Raises RetryableError.
        """
        with _translated("reading"):
            return self._wire.wait(timeout)

    def fill(self, sink: Callable[[memoryview], object]) -> bool:
        """Hand what has come since `begin` to `sink`; say whether anything had. Never waits for the server.

        `sink` gets the protocol's bytes, cut anywhere, and may use them until it returns. After some MiB the
        call ends though there may be more. Raises RetryableError at the connection's end, once all before it
        was handed over; what `sink` raises passes through.
        """
        return self._wire.fill(sink)

    def finish(
        self, rest: bytes = b"", doing: str = "ending a copy", idle: Callable[[], object] | None = None
    ) -> None:
        """Take the end of a copy, so that commands can be run again. Raises as `run`.

        `rest` is what `sink` was given from the first message on that is no data, perhaps cut.
        """
        self._wire.back(rest)
        self._answer(doing, idle, [], _QUIET | {_COPY_DATA, _COPY_DONE})

    def send(self, data: bytes) -> None:
        """Send a whole message of the protocol; from any thread. Raises RetryableError."""
        with _translated("sending"):
            self._wire.channel.send(data)

    def cancel(self) -> None:
        """Ask the server to stop what runs; from any thread, for at most 5 s, never raises."""
        deadline = Deadline.after(_CANCEL)
        with suppress(EtlError, Unsupported, OSError):
            channel = open_channel(self._parameters, self._context, deadline)
            try:
                channel.encrypt(messages.cancel_request(self._key))
                channel.flush(deadline)
                while channel.wait(deadline.left):  # until the server, having done it, closes
                    channel.pull()
            finally:
                channel.close()

    def close(self) -> None:
        """End the session, and what the server may still be doing for it. Repeatable."""
        if self._closed:
            return
        self._closed = True
        channel = self._wire.channel
        if self._busy and not channel.ended:
            self.cancel()
        with suppress(OSError):
            channel.encrypt(messages.TERMINATE)
            channel.push()
        channel.close()

    def _command(self, sql: str, doing: str, idle: Callable[[], object] | None, rows: _Rows) -> bool:
        """Send a query and read until it has ended, or started a copy (True)."""
        if self._busy:
            raise FatalError("a command of this session has not ended", doing=doing)
        self._busy = True
        with _translated(doing):
            self._wire.channel.send(messages.query(sql))
        return self._answer(doing, idle, rows, _QUIET)

    def _answer(
        self, doing: str, idle: Callable[[], object] | None, rows: _Rows, quiet: frozenset[bytes]
    ) -> bool:
        failure: EtlError | None = None
        try:
            with _translated(doing):
                for kind, body in self._messages(idle):
                    if kind in _COPIES:
                        self._both = kind == _COPY_BOTH
                        return True
                    if kind == b"E":
                        failure = messages.failure(body, doing)
                    elif kind == b"D":
                        rows.append(messages.columns(body))
                    elif kind == _COPY_DONE and self._both and kind in quiet:
                        self._wire.channel.send(_DONE)
                    elif kind not in quiet:
                        raise Malformed
        except RetryableError as lost:
            # A server that ends the session says why before.
            raise failure or lost from None
        if failure is not None:
            raise failure
        return False

    def _messages(self, idle: Callable[[], object] | None) -> Iterator[tuple[bytes, bytes]]:
        """Yield messages up to ReadyForQuery, `_LIMIT` bytes of them."""
        size = 0
        while size <= _LIMIT:
            kind, body = self._wire.next(_LIMIT, idle or _go_on)
            if kind == b"Z":
                self._busy = self._both = False
                return
            yield kind, body
            size += len(body)
        raise Malformed


def _go_on() -> None:
    pass


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except Malformed:
        raise RetryableError("the server's answer is not of the protocol", doing=doing) from None
    except OSError:
        raise failures.executing(None, doing, None) from None
