"""The demonstration, step by step: a shop, its copy, a crash in between, and the comparison."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import define, field

from etl_core import ConfigError, FatalError, Secret
from etl_demo import shop
from etl_demo.compare import TableReport, compare
from etl_demo.pipeline import PipelineProcess
from etl_demo.traffic import Traffic, add_column
from etl_pglib.client import Connection, connect
from etl_pglib.embedded import EmbeddedPostgres

__all__ = ["Report", "Story", "prepare"]

#: Transactions that the shop makes while no pipeline runs.
_WHILE_DOWN = 200
_DEADLINE = 120.0

# No temporary slot, which the pipeline has while it copies: the one that says what is durable.
_DURABLE = """
SELECT coalesce(bool_or(confirmed_flush_lsn >= %s::pg_lsn), false) FROM pg_replication_slots
WHERE database = current_database() AND NOT temporary
"""


@define
class Report:
    """What the demonstration ended with."""

    directory: Path
    dsn: str
    tables: list[TableReport] = field(factory=list)
    #: Rows of the snapshot, and committed row changes.
    snapshot_rows: int = 0
    changes: int = 0
    transactions: int = 0
    #: Seconds in which a pipeline ran.
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        return bool(self.tables) and all(table.equal for table in self.tables)

    @property
    def rows_per_second(self) -> float:
        return (self.snapshot_rows + self.changes) / self.seconds if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "equal": self.equal,
            "tables": [table.to_json() for table in self.tables],
            "snapshot_rows": self.snapshot_rows,
            "changes": self.changes,
            "transactions": self.transactions,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second),
            "directory": str(self.directory),
            "dsn": self.dsn,
        }


@define
class Story:
    """Plays the demonstration in an empty directory; `tell` hears what has been done, `doing` what begins."""

    directory: Path
    version: int
    rows: int
    tell: Callable[[str], None]
    doing: Callable[[str], None]

    def play(self, server: EmbeddedPostgres) -> Report:
        """Run everything against a server that is not yet started. Raises what goes wrong on the way."""
        self.doing(f"starting PostgreSQL {self.version}")
        server.start()
        dsn = server.create_database(shop.DATABASE)
        self.tell(f"PostgreSQL {self.version} runs at {dsn}")
        report = Report(self.directory, dsn)
        with connect(Secret(dsn), application_name="etl-demo", session={}) as source:
            self._open(source, report)
            traffic = Traffic(dsn)
            traffic.start()
            try:
                self._follow_and_crash(source, traffic, report)
                self._go_on_alone(traffic)
            finally:
                traffic.stop()
            report.changes, report.transactions = traffic.changes, traffic.transactions
        self._resume(report)
        self.doing("comparing source and copy by value")
        report.tables = compare(dsn, self.directory / "shop.duckdb")
        return report

    def _open(self, source: Connection, report: Report) -> None:
        self.doing("opening the shop")
        shop.create(source, self.rows)
        (self.directory / "shop.yaml").write_text(shop.document(report.dsn), encoding="utf-8")
        report.snapshot_rows = shop.count(source)
        self.tell(
            f"a shop with {report.snapshot_rows:,} rows; its pipeline is {self.directory / 'shop.yaml'}"
        )

    def _follow_and_crash(self, source: Connection, traffic: Traffic, report: Report) -> None:
        began = time.monotonic()
        with PipelineProcess(self.directory) as pipeline:
            self.doing("snapshot, while customers keep ordering")
            self._until_durable(source, pipeline, traffic)
            self.tell(f"snapshot copied and changes followed after {time.monotonic() - began:.1f} s")
            self.doing("a column is added under way")
            add_column(source)
            self._until_durable(source, pipeline, traffic)
            self.tell("ALTER TABLE orders ADD COLUMN channel: the copy has it")
            pipeline.kill()
            report.seconds += pipeline.seconds
        self.tell(
            f"the pipeline was killed (SIGKILL) in mid-stream, {traffic.transactions:,} transactions in"
        )

    def _until_durable(self, source: Connection, pipeline: PipelineProcess, traffic: Traffic) -> None:
        """Wait until what is committed now is in the copy, as the pipeline confirmed to its source."""
        now = source.execute("SELECT pg_current_wal_insert_lsn()::text").fetchall()[0][0]
        for _ in _waiting("the pipeline makes no progress"):
            pipeline.verify_running()
            if source.execute(_DURABLE.encode(), [now]).fetchall()[0][0]:
                return
            self.doing(f"following: {traffic.transactions:,} transactions, {traffic.changes:,} row changes")

    def _go_on_alone(self, traffic: Traffic) -> None:
        self.doing("the shop goes on without its pipeline")
        until = traffic.transactions + _WHILE_DOWN
        for _ in _waiting("the shop makes no progress"):
            if traffic.transactions >= until or not traffic.running:
                return

    def _resume(self, report: Report) -> None:
        self.doing("resuming until the copy has caught up")
        with PipelineProcess(self.directory, once=True) as pipeline:
            result = pipeline.result(_DEADLINE)
            report.seconds += pipeline.seconds
        read = result["counts"]["records_read"]
        self.tell(f"resumed from the last durable position and caught up, {read:,} records read again or new")


def _waiting(failure: str) -> Iterator[None]:
    until = time.monotonic() + _DEADLINE
    while time.monotonic() < until:
        yield
        time.sleep(0.02)
    raise FatalError(failure, "look at the logs", seconds=_DEADLINE)


def prepare(directory: Path) -> Path:
    """Make the directory; raises ConfigError if it has anything in it."""
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ConfigError("the directory of the demonstration is not empty", "name another", found=directory)
    return directory.resolve()
