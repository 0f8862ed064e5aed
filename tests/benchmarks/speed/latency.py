"""How long a change is under way: from its commit at the source to the return of the flush that has it."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import pyarrow as pa
from attrs import frozen
from benchmarks.speed import ours
from benchmarks.speed.contents import COLUMNS, Contents, in_postgres
from benchmarks.speed.processes import answer
from benchmarks.speed.runs import Run
from benchmarks.speed.server import Database
from benchmarks.speed.stats import percentile
from benchmarks.speed.workloads import PUBLICATION, SLOT, insert, streamed

from etl_core import COMMIT_TS, Destination, FatalError, Position, Source, Write

__all__ = ["Latencies", "Pace", "measure"]

#: Printed by the child when its source is ready to stream.
READY = "ready"
#: Seconds for what is under way when the writer stops.
_PATIENCE = 30.0


@frozen
class Pace:
    """So many transactions per second of so many inserts each, for so many seconds.

    What commits in the first `warm_up` seconds is not counted.
    """

    transactions: int = 100
    size: int = 10
    seconds: float = 30.0
    warm_up: float = 2.0
    max_wait: float = 0.1


class Latencies:
    """Notes, in the process that runs the pipeline, how old rows are when a flush has returned."""

    def __init__(self, source: Source, destination: Destination) -> None:
        #: (commit time in Unix seconds, seconds until durable) of every row.
        self.seconds: list[tuple[float, float]] = []
        self._waiting: list[pa.Array] = []
        self._read, self._write, self._flush = source.read, destination.write, destination.flush
        for connector, name, method in (
            (source, "read", self._reading),
            (destination, "write", self._writing),
            (destination, "flush", self._flushing),
        ):
            setattr(connector, name, method)

    def _reading(self, *arguments: Any) -> Iterator[Any]:
        for number, batch in enumerate(self._read(*arguments)):
            if number == 0:
                print(READY, flush=True)
            yield batch

    def _writing(self, write: Write) -> Any:
        if write.rows is not None:
            self._waiting += write.rows.column(COMMIT_TS).cast(pa.int64()).chunks
        return self._write(write)

    def _flushing(self, position: Position) -> Any:
        refused = self._flush(position)
        now = time.time()
        commits = [micros / 1e6 for chunk in self._waiting for micros in chunk.to_pylist()]
        self.seconds += [(commit, now - commit) for commit in commits]
        self._waiting.clear()
        return refused


def measure(database: Database, pace: Pace) -> Run:
    """Follow a source that changes at this pace, into DuckDB; `facts` has p50, p99 and the highest, in s."""
    workload = streamed(database, 0, 1)
    source = {"slot": SLOT, "publication": PUBLICATION, "snapshot": "never"}
    where = database.dsn, workload.tables, COLUMNS
    with tempfile.TemporaryDirectory(prefix="etl-bench-run-") as directory:
        process = ours.spawn(
            ours.Spec(*where, "duckdb", "upsert", source, directory, follow=True, max_wait=pace.max_wait)
        )
        started, late = time.time(), 0.0
        if _ready(process):
            started = time.time()
            late = _write(database, workload.tables[0], pace)
            _await_confirmation(database)
        found = answer(process)
    run = ours.verified(found, Contents.of(database.query(in_postgres(COLUMNS, workload.tables[0]))))
    counted = sorted(took for commit, took in found["latencies"] if commit >= started + pace.warm_up)
    return attrs.evolve(run, facts=_facts(counted, late))


def _ready(process: subprocess.Popen[str]) -> bool:
    """Wait until the child's source is ready to stream; False when it has ended instead."""
    assert process.stdout is not None
    return process.stdout.readline().strip() == READY


def _write(database: Database, name: str, pace: Pace) -> float:
    """Commit transactions, each at its time; return by how many seconds one was late at most."""
    late, started = 0.0, time.monotonic()
    with database.connect() as connection:
        for number in range(int(pace.seconds * pace.transactions)):
            due = started + number / pace.transactions
            wait = due - time.monotonic()
            late = max(late, -wait)
            time.sleep(max(0.0, wait))
            first = number * pace.size + 1
            connection.execute(insert(name, COLUMNS, first, first + pace.size - 1).encode())
    return late


def _await_confirmation(database: Database) -> None:
    """Wait until all that was committed is durable at the destination."""
    ((end,),) = database.query("SELECT pg_current_wal_insert_lsn()::text")
    query = f"SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{SLOT}'"
    deadline = time.monotonic() + _PATIENCE
    while not database.query(query)[0][0]:
        if time.monotonic() > deadline:
            raise FatalError("the last changes did not become durable in time")
        time.sleep(0.05)


def _facts(ordered: Sequence[float], late: float) -> dict[str, float]:
    if not ordered:
        return {}
    return {
        "p50": percentile(ordered, 0.5),
        "p99": percentile(ordered, 0.99),
        "max": ordered[-1],
        "changes": len(ordered),
        "writer_late": late,
    }
