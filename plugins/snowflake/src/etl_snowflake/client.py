"""The vendor's clients; the only module that imports them, and only when they are used.

`Session` is a connection for SQL, stages and Arrow results. `sdk_client` makes a client of the streaming SDK.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa

from etl_core import ConfigError, EtlError, RetryableError
from etl_snowflake.auth import load_key
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.errors import LOST, translated
from etl_snowflake.names import literal, quote

__all__ = ["Session", "binary_format", "sdk_client"]

T = TypeVar("T")

_APPLICATION = "etl-core"
#: What a client in Rust raises when it breaks down; it is no Exception.
_PANIC = "PanicException"
#: A statement of a client that is gone ends by itself, and with it what it has locked.
_PARAMETERS = {"TIMEZONE": "UTC", "QUERY_TAG": _APPLICATION, "ABORT_DETACHED_QUERY": True}


def _connect(config: SnowflakeConfig) -> Any:
    """Log in with the key as it is now."""
    import snowflake.connector

    settings: dict[str, Any] = {
        "account": config.account,
        "user": config.user,
        "host": config.address,
        "port": config.port,
        "protocol": "https",
        "authenticator": "SNOWFLAKE_JWT",
        "private_key": load_key(config).der,
        "database": quote(config.database),
        "warehouse": quote(config.warehouse),
        "role": quote(config.role) if config.role else None,
        "application": _APPLICATION,
        "paramstyle": "qmark",
        "autocommit": True,
        "login_timeout": max(1, round(config.login_timeout)),
        "request_timeout": max(1, round(config.network_timeout)),
        "session_parameters": {**_PARAMETERS, "LOCK_TIMEOUT": max(1, int(0.9 * config.network_timeout))},
        "custom_root_store_path": str(config.authorities) if config.authorities else None,
        "enable_server_session_keep_alive_auto_detection": False,
    }
    return snowflake.connector.connect(
        **{name: value for name, value in settings.items() if value is not None}
    )


class Session:
    """One connection, with at most one transaction open; used by one thread at a time.

    It logs in when it is first used, and again when the service has forgotten it: a statement outside a
    transaction is then repeated, one inside raises RetryableError. Autocommit is on. Errors are those of
    `etl_core.errors`, without values, statements or secrets.
    """

    def __init__(self, config: SnowflakeConfig) -> None:
        self._config = config
        self._connection: Any = None
        self._cursor: Any = None
        self._interrupted = threading.Event()
        self.in_transaction = False

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each parameter; return its rows (of DML: one row of counts)."""
        return self._run(lambda cursor: list(cursor.execute(sql, tuple(parameters) or None).fetchall()))

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one INSERT, UPDATE, DELETE or MERGE; return how many rows it changed."""
        rows = self.execute(sql, parameters)
        return sum(int(count) for count in rows[0] if count is not None) if rows else 0

    def arrow(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one query; return its rows as Arrow (the schema is there also without rows)."""
        return self._run(
            lambda cursor: cursor.execute(sql, tuple(parameters) or None).fetch_arrow_all(
                force_return_table=True
            )
        )

    def put(self, file: Path, place: str) -> None:
        """Upload a file as it is into a directory of a stage: `@<quoted stage>/<directory>`."""
        source, target = literal(f"file://{file.as_posix()}"), literal(place)
        rows = self.execute(
            f"PUT {source} {target} AUTO_COMPRESS = FALSE OVERWRITE = TRUE SOURCE_COMPRESSION = NONE"
        )
        if [row[6] for row in rows] != ["UPLOADED"]:
            raise RetryableError("a file was not uploaded", status=rows[0][6] if rows else None)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block in one transaction: COMMIT at its end, ROLLBACK when it raises.

        A COMMIT whose answer was lost raises RetryableError with the fact `commit="unknown"`.
        """
        self.execute("BEGIN")
        self.in_transaction = True
        try:
            yield
            self._commit()
        except BaseException:
            self._roll_back()
            raise
        finally:
            self.in_transaction = False

    def _commit(self) -> None:
        try:
            self.execute("COMMIT")
        except RetryableError as error:
            errno = error.facts.get("errno")
            raise RetryableError("the answer to a COMMIT was lost", commit="unknown", errno=errno) from None

    def _roll_back(self) -> None:
        """A connection that cannot roll back is dropped: the service ends its transaction."""
        if self._connection is not None:
            try:
                self.execute("ROLLBACK")
            except EtlError:
                self._drop()

    def interrupt(self) -> None:
        """Make the statement that runs fail, and all others until `close`; any thread: for `on_cancel`."""
        self._interrupted.set()
        connection = self._connection
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def close(self) -> None:
        """Release everything. The next statement logs in again."""
        self._drop()
        self._interrupted.clear()

    def _run(self, work: Callable[[Any], T]) -> T:
        try:
            return self._once(work)
        except _Lost:
            if self.in_transaction:
                raise RetryableError("the session was lost in a transaction") from None
        try:
            return self._once(work)
        except _Lost:
            raise RetryableError("the session was lost twice") from None

    def _once(self, work: Callable[[Any], T]) -> T:
        import snowflake.connector

        connected = self._connection is not None
        try:
            return work(self._ready())
        except snowflake.connector.errors.Error as error:
            ours, number = translated(error), error.errno
        if isinstance(ours, RetryableError):
            self._drop()
            if connected and number in LOST and not self._interrupted.is_set():
                raise _Lost
        raise ours

    def _ready(self) -> Any:
        if self._interrupted.is_set():
            raise RetryableError("the session was interrupted")
        if self._cursor is None:
            if self.in_transaction:
                raise _Lost
            self._connection = _connect(self._config)
            self._cursor = self._connection.cursor()
        return self._cursor

    def _drop(self) -> None:
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


class _Lost(Exception):
    """The service has forgotten the session; the statement was not run."""


def sdk_client(config: SnowflakeConfig, name: str, schema: str, table: str) -> Any:
    """Make a client of the vendor's streaming SDK for a table's default pipe, with the key as it is now.

    The SDK follows SSL_CERT_FILE for its authorities, and writes its log to stdout unless told not to: both
    are read from the environment when a client is made.
    """
    os.environ.setdefault("SS_LOG_LEVEL", "error")
    if config.authorities is not None:
        os.environ["SSL_CERT_FILE"] = str(config.authorities)
    from snowflake.ingest.streaming import StreamingIngestClient

    properties = {
        "account": config.account,
        "user": config.user,
        "url": f"https://{config.address}:{config.port}",
        "private_key": load_key(config).pem,
        **({"role": config.role} if config.role else {}),
    }
    with sdk_errors():
        return StreamingIngestClient.from_table(
            client_name=name,
            db_name=config.database,
            schema_name=schema,
            table_name=table,
            properties=properties,
        )


@contextmanager
def sdk_errors() -> Iterator[None]:
    """Raise the streaming SDK's errors as ours."""
    from snowflake.ingest.streaming import StreamingIngestError

    try:
        yield
    except (StreamingIngestError, TimeoutError, RuntimeError, ValueError) as error:
        ours = translated(error)
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        ours = translated(error)
    else:
        return
    raise ours


def binary_format(channel: Any) -> Literal["base64", "hex"]:
    """Return how the service told the streaming client to write bytes. Raises ConfigError for another way.

    The client's own rows are written so; what goes round its conversion (`client_rows`) has to follow.
    """
    told = str(getattr(channel, "_binary_input_format", "BASE64")).rpartition(".")[2].upper()
    if told == "BASE64":
        return "base64"
    if told == "HEX":
        return "hex"
    raise ConfigError(
        "the pipe takes bytes in a way that cannot hold all of them",
        "let the pipe's binary format be BASE64 or HEX, or set streaming: off",
        format=told,
    )


def client_rows(lines: memoryview, binary: Literal["base64", "hex"]) -> list[Any]:
    """Return rows, one line each, as the streaming SDK's encoder writes them without looking into them.

    Where the pipe takes hex the client looks for bytes in each row, which has to be a dict then: slower.
    """
    import msgspec

    if binary == "hex":
        return msgspec.json.Decoder().decode_lines(bytes(lines))
    return [msgspec.Raw(line) for line in bytes(lines).splitlines()]
