"""One call of the benchmark: the rows, the emulator, how often, and whom to tell of each run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
from attrs import define, field
from benchmarks.speed import processes
from benchmarks.speed.runs import Run
from benchmarks.warehouse import rows as data

from etl_snowflake.client import Session
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.names import Names, quote
from etl_snowflake.types import sql_type

__all__ = ["FIRST", "Bench", "running"]

#: Rows that go before the clock starts.
FIRST = 100
#: Of a load no more rows: it takes long where the service shares the cores, and says as much.
_LOADED = 100_000
_SCHEMA = "PUBLIC"
_STAGE = "BENCHMARK"


@define
class Bench:
    """What the measurements share."""

    directory: Path
    rows: pa.Table
    pairs: int
    note: Callable[[str, Run], None]
    _stack: ExitStack
    _emulator: Emulator | None = None
    _session: Session | None = None
    _tables: int = 0
    _path: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._path = self.directory / "rows.arrow"
        data.write(self._path, self.rows)

    @property
    def encoded(self) -> int:
        """How many rows the clock of an encoder sees."""
        return self.rows.num_rows - FIRST

    @property
    def loaded(self) -> int:
        """How many rows the clock of a load sees."""
        return min(self.encoded, _LOADED)

    def encode(self, way: str) -> Callable[[], Run]:
        """Return a run that only encodes."""
        return lambda: self._run({"way": way, "last": FIRST + self.encoded})

    def load(self, way: str) -> Callable[[], Run]:
        """Return a run that loads into a new table, whose rows are compared with those that were sent."""

        def run() -> Run:
            emulator = self._served()
            self._tables += 1
            table = f"T{self._tables}"
            told = self._place(_config(emulator), table)
            sent = self.rows.slice(0, FIRST + self.loaded)
            done = self._run({"way": way, "last": sent.num_rows, **told}, AWS_EC2_METADATA_DISABLED="true")
            found = emulator.rows(f"{emulator.database}.{_SCHEMA}.{table}", "ID")
            self._execute(f"DROP TABLE {told['quoted']}")
            return attrs.evolve(done, wrong=data.different(found, sent))

        return run

    def _run(self, told: dict[str, Any], **environment: str) -> Run:
        told |= {"rows": str(self._path), "first": FIRST, "directory": str(self.directory)}
        found = processes.answer(processes.spawn("benchmarks.warehouse.child", told, **environment))
        return Run(found["seconds"], found["cpu"], found["peak"])

    def _place(self, config: SnowflakeConfig, table: str) -> dict[str, Any]:
        names = Names(config.database, _SCHEMA)
        quoted = names.ours(table)
        columns = ", ".join(f"{quote(each.name)} {sql_type(each.type)}" for each in data.SCHEMA)
        self._execute(f"CREATE TABLE {quoted} ({columns})")
        self._execute(f"CREATE STAGE IF NOT EXISTS {names.ours(_STAGE)}")
        return {
            "table": table,
            "quoted": quoted,
            "place": (config.database, _SCHEMA, table),
            "stage": names.ours(_STAGE),
            "config": _told(config),
        }

    def _served(self) -> Emulator:
        """Return the emulator, started when it is first needed."""
        if self._emulator is None:
            serving = Emulator.running(self.directory / "emulator", "--commit-delay", "0.1")
            self._emulator = self._stack.enter_context(serving)
        return self._emulator

    def _execute(self, sql: str) -> None:
        if self._session is None:
            self._session = Session(_config(self._served()))
            self._stack.callback(self._session.close)
        self._session.execute(sql)


def _config(emulator: Emulator) -> SnowflakeConfig:
    return SnowflakeConfig(**emulator.settings())


def _told(config: SnowflakeConfig) -> dict[str, Any]:
    names = ("account", "user", "role", "database", "warehouse", "host", "port")
    paths = {name: str(getattr(config, name)) for name in ("private_key_path", "authorities")}
    return {name: getattr(config, name) for name in names} | paths


@contextmanager
def running(count: int, pairs: int, note: Callable[[str, Run], None]) -> Iterator[Bench]:
    """Make the rows in a temporary directory; at the end it goes, with the emulator where one was needed."""
    with tempfile.TemporaryDirectory(prefix="etl-bench-") as scratch, ExitStack() as stack:
        yield Bench(Path(scratch), data.made(count + FIRST), pairs, note, stack)
