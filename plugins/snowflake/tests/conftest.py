"""One emulator for all tests of a process, and a schema of its own for each test."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import pytest
import snowflake.connector
from snowflake.ingest.streaming import StreamingIngestClient

from etl_core import Duration, RetryableError
from etl_core.testing.contexts import KitContext
from etl_core.testing.destination.session import Session as Driven
from etl_core.testing.destination.session import loader_named
from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.destination import SnowflakeDestination
from etl_snowflake.emulator import Emulator
from etl_snowflake.emulator.launch import wait_until
from etl_snowflake.names import Names

# The whole path needs the packages of its other end, which this plugin's own environment is without.
if find_spec("etl_postgres_cdc") is None:
    collect_ignore = ["test_snow_kill.py", "test_snow_howto.py"]

QUIET = {
    "commit_delay": 0.1,
    "commits": True,
    "on_reopen": "discard",
    "flush_kb": 1024,
    "reject": [],
    "transaction_idle": 10.0,
}


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Serve an account; the vendor's clients of this process trust it."""
    directory = tmp_path_factory.mktemp("snowflake")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        emulator = stack.enter_context(
            Emulator.running(directory, "--volatile", "--commit-delay", "0.1", "--task-minute", "0.5")
        )
        patch.setenv("SSL_CERT_FILE", str(emulator.authority))
        patch.setenv("SS_LOG_LEVEL", "error")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # the driver's S3 client looks for a region there
        yield emulator


@pytest.fixture
def emulator(account: Emulator) -> Iterator[Emulator]:
    """The account, with no faults and nothing counted; schemas that a test made are dropped."""
    account.reset(**QUIET)
    yield account
    account.reset(**QUIET)


@pytest.fixture
def schema(emulator: Emulator, request: pytest.FixtureRequest) -> str:
    """A schema of the test's own."""
    name = re.sub(r"\W", "_", request.node.name).upper()[:60]
    emulator.schemas(make=[name])
    return name


@pytest.fixture
def connect(emulator: Emulator, schema: str) -> Iterator[Callable[..., Any]]:
    """Open connections with the vendor's driver, in the test's schema."""
    with ExitStack() as stack:

        def open_one(**changed: Any) -> Any:
            settings = emulator.connector(**{"schema": schema, **changed})
            return stack.enter_context(snowflake.connector.connect(**settings))

        yield open_one


@pytest.fixture
def query(connect: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Run a statement, and give its rows."""
    cursor = connect().cursor()

    def run(sql: str) -> list[Any]:
        rows: list[Any] = cursor.execute(sql).fetchall()
        return rows

    return run


@pytest.fixture
def stream(emulator: Emulator, schema: str) -> Iterator[Callable[..., StreamingIngestClient]]:
    """Open clients of the vendor's streaming SDK, for a table of the test's schema."""
    clients: list[StreamingIngestClient] = []

    def open_one(table: str, name: str = "tests", **changed: str) -> StreamingIngestClient:
        client = StreamingIngestClient.from_table(
            client_name=f"{name}{len(clients)}",
            db_name=emulator.database,
            schema_name=schema,
            table_name=table,
            properties=emulator.streaming(**changed),
        )
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        client.close(wait_for_flush=False)


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """Write a Parquet file."""
    import pyarrow.parquet as pq

    def write(table: Any, name: str = "part.parquet") -> Path:
        path = tmp_path / name
        pq.write_table(table, path)
        return path

    return write


@pytest.fixture
def committed() -> Callable[[Any, str], bool]:
    """Let a channel send what it has, and wait until a token of it is committed."""

    def wait(channel: Any, token: str) -> bool:
        channel.wait_for_flush(20)
        return wait_until(lambda: channel.get_latest_committed_offset_token() == token)

    return wait


@pytest.fixture
def config(emulator: Emulator, schema: str) -> SnowflakeConfig:
    """Settings of ours; landing and control tables are in the test's own schema."""
    return SnowflakeConfig(
        **emulator.settings(),
        landing_schema=schema,
        network_timeout=Duration(20),
        login_timeout=Duration(10),
    )


@pytest.fixture
def drive(config: SnowflakeConfig, schema: str, tmp_path: Path) -> Iterator[Callable[..., Driven]]:
    """Open destinations that are driven call by call, and closed at the end of the test."""
    with ExitStack() as stack:

        def drive(load: str, fence: str, pipeline: str = "", **changed: Any) -> Driven:
            ctx = KitContext(pipeline=pipeline or schema, connector="snowflake", spill=tmp_path / "spill")
            stack.callback(ctx.close, 10)
            destination = SnowflakeDestination(attrs.evolve(config, **changed))
            return stack.enter_context(Driven(destination, ctx, loader_named(load), fence=fence))

        yield drive


@pytest.fixture
def session(config: SnowflakeConfig) -> Iterator[Session]:
    """A connection of ours."""
    opened = Session(config)
    yield opened
    opened.close()


@pytest.fixture
def names(emulator: Emulator, schema: str) -> Names:
    """Names in upper case."""
    return Names(emulator.database, schema)


@pytest.fixture
def cut(session: Session) -> Callable[..., AbstractContextManager[list[str]]]:
    """Let a run die at a statement: before the service has it, or when it is done and nobody heard of it.

    What the block does ends there, and the connection with it. Gives the statement that was cut, if any was.
    """

    @contextmanager
    def cutting(match: str, after: int = 0, *, done: bool = False) -> Iterator[list[str]]:
        execute, found = session.execute, itertools.count()
        fired: list[str] = []

        def dying(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            if fired or not re.search(match, sql) or next(found) != after:
                return execute(sql, parameters)
            fired.append(sql)
            if done:
                execute(sql, parameters)
            session.close()
            raise RetryableError("the run died here")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "execute", dying)
            try:
                yield fired
            except RetryableError:
                assert fired
        if fired:
            session.close()

    return cutting
