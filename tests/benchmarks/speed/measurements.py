"""The comparisons of the benchmark, in groups that share their work and their control."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import duckdb
from benchmarks.speed import controls, digest, ours
from benchmarks.speed.asking import Group, alternated
from benchmarks.speed.bench import Bench
from benchmarks.speed.decoding import decoded
from benchmarks.speed.environments import Environment, scanner
from benchmarks.speed.latency import measure
from benchmarks.speed.recording import record
from benchmarks.speed.results import Conditions, Result, Row, reached
from benchmarks.speed.runs import Run
from benchmarks.speed.workloads import Copy, copied, huge, streamed

from etl_core import ConfigError

__all__ = ["GROUPS"]

_DURABLE = Conditions(durability="committed with fsync by DuckDB, the position with the rows")
_FILES = Conditions(durability="files complete, left to the system to write out")
_MEMORY = Conditions(transport="none: memory", tls="-", fsync="-")
_RECEIVE = "pg_recvlogical to /dev/null, proto_version=1"


def _streams(size: int) -> Group[Bench]:
    def measured(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
        with bench.database() as database:
            workload = streamed(database, bench.sizes.changes, size)
            arms = {row.name: ours.stream(workload, row.name.rsplit("-", 1)[1]) for row in rows}
            yield from _alternated(bench, rows, controls.receiving(workload), arms, workload.changes)

    work = f"drain and decode inserts, updates and deletes in transactions of {size} rows"
    return Group(
        measured,
        Row(f"stream-{size}-arrow", f"{work}, into Arrow", _RECEIVE, 0.6),
        Row(f"stream-{size}-duckdb", f"{work}, into DuckDB, upsert", _RECEIVE, 1.0, _DURABLE),
    )


def _huge(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    with bench.database() as database:
        workload = huge(database, bench.sizes.huge)
        arms = {rows[0].name: ours.stream(workload)}
        yield from _alternated(bench, rows, controls.receiving(workload, protocol=2), arms, workload.changes)


def _snapshots(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    with bench.database() as database:
        workload = copied(database, bench.sizes.copied)
        arms = {row.name: ours.snapshot(workload, row.name.rsplit("-", 1)[1], readers=1) for row in rows}
        yield from _alternated(bench, rows, controls.copying(workload), arms, workload.mirror.rows)


def _snapshot_duckdb(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    try:
        environment = scanner(bench.scratch / "scanner", duckdb.__version__)
    except ConfigError as error:
        yield from (Result(row, "no control", wrong=[str(error)]) for row in rows)
        return
    with bench.database() as database:
        workload = copied(database, bench.sizes.copied)
        arms = {rows[0].name: ours.snapshot(workload, "duckdb")}
        yield from _alternated(bench, rows, _created(environment, workload), arms, workload.mirror.rows)


def _created(environment: Environment, workload: Copy) -> Callable[[], Run]:
    """Return the control: DuckDB copies the tables itself."""

    def control() -> Run:
        with tempfile.TemporaryDirectory(prefix="etl-bench-run-") as output:
            where = {"dsn": workload.database.dsn, "tables": workload.tables}
            run = environment.run("duckdb_postgres", {**where, "output": output, "kind": "duckdb"})
            names = [table.split(".")[1] for table in workload.tables]
            found = digest.of_duckdb(Path(output) / "peer.duckdb", names, workload.table)
        return run.checked(found, workload.mirror)

    return control


def _decode(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    recorded = bench.scratch / "recorded"
    with bench.database() as database:
        workload = streamed(database, bench.sizes.changes, 10)
        record(workload, recorded)
    arms = {rows[0].name: decoded(recorded, "compiled", workload.history)}
    control = decoded(recorded, "frozen", workload.history)
    yield from _alternated(bench, rows, control, arms, workload.changes)


def _latency(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    with bench.database() as database:
        run = measure(database, bench.sizes.pace)
    bench.note(rows[0].name, run)
    yield reached(rows[0], 1000 * run.facts.get("p99", float("inf")), [run], **run.facts)


def _alternated(
    bench: Bench,
    rows: Sequence[Row],
    control: Callable[[], Run],
    arms: dict[str, Callable[[], Run]],
    moved: int,
) -> Iterator[Result]:
    return alternated(rows, control, arms, moved, bench.pairs, bench.note)


_COPY = "psql COPY (FORMAT binary) to /dev/null"
_PACE = "1,000 changes per second in transactions of 10, max_wait 100 ms, into DuckDB: commit to durable, p99"

GROUPS = [
    _streams(10),
    _streams(10_000),
    Group(
        _huge,
        Row(
            "huge-arrow",
            "one transaction of inserts with a rolled-back savepoint, into Arrow",
            "pg_recvlogical to /dev/null, proto_version=2, streaming=on",
            0.9,
        ),
    ),
    Group(
        _snapshots,
        Row("snapshot-arrow", "copy a table of 10 columns over one connection, into Arrow", _COPY, 1.25),
        Row("snapshot-parquet", "the same into Parquet (snappy)", _COPY, 1.6, _FILES),
    ),
    Group(
        _snapshot_duckdb,
        Row(
            "snapshot-duckdb",
            "the same into DuckDB, replace",
            "DuckDB's postgres extension, create table as",
            1.15,
            _DURABLE,
        ),
    ),
    Group(
        _decode,
        Row(
            "decode",
            "text to typed Arrow with the reserved columns, a recorded stream, CPU seconds of one core",
            "a frozen copy of the decoder in pure Python",
            1 / 20,
            _MEMORY,
        ),
    ),
    Group(_latency, Row("latency", _PACE, "-", 500.0, _DURABLE, unit="ms")),
]
