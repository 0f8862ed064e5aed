"""The vendor's clients; the only module that imports them, and only when they are used.

`Session` is a connection for SQL, stages and Arrow results. `sdk_client` makes a client of the streaming SDK.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from etl_snowflake.config import SnowflakeConfig

__all__ = ["Session"]


class Session:
    """One connection, with at most one transaction open; used by one thread at a time.

    It logs in when it is first used, and again when the service has forgotten it: a statement outside a
    transaction is then repeated, one inside raises RetryableError. Autocommit is on. Errors are those of
    `etl_core.errors`, without values, statements or secrets.
    """

    def __init__(self, config: SnowflakeConfig) -> None:
        raise NotImplementedError

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement with `?` for each parameter; return its rows (of DML: one row of counts)."""
        raise NotImplementedError

    def changed(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one INSERT, UPDATE, DELETE or MERGE; return how many rows it changed."""
        raise NotImplementedError

    def arrow(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run one query; return its rows as Arrow (the schema is there also without rows)."""
        raise NotImplementedError

    def put(self, file: Path, place: str) -> None:
        """Upload a file as it is into a directory of a stage: `@<quoted stage>/<directory>`."""
        raise NotImplementedError

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block in one transaction: COMMIT at its end, ROLLBACK when it raises.

        A COMMIT whose answer was lost raises RetryableError with the fact `commit="unknown"`.
        """
        raise NotImplementedError
        yield

    @property
    def in_transaction(self) -> bool:
        raise NotImplementedError

    def interrupt(self) -> None:
        """Make a statement that runs, or the next one, fail; any thread. For `ctx.on_cancel`."""
        raise NotImplementedError

    def close(self) -> None:
        """Release everything."""
        raise NotImplementedError
