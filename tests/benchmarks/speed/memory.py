"""The most memory that a pipeline's process has, each time a new process, rows dropped as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs
from benchmarks.speed import ours
from benchmarks.speed.asking import Group
from benchmarks.speed.bench import Bench
from benchmarks.speed.results import Conditions, Result, Row, reached
from benchmarks.speed.runs import Run
from benchmarks.speed.workloads import copied, huge, streamed

__all__ = ["GROUPS"]

_MB = 1_000_000
_ARROW, _DUCKDB, _GROWTH = 300.0, 400.0, 1.25
_STARTUP = Conditions(startup="counts")


def _row(name: str, work: str, bar: float, unit: str = "MB") -> Row:
    return Row(f"memory-{name}", f"peak memory: {work}", "-", bar, _STARTUP, unit)


def _peak(bench: Bench, row: Row, run: Callable[[], Run]) -> Result:
    runs = [run() for _ in range(bench.sizes.repeats)]
    for one in runs:
        bench.note(row.name, one)
    return reached(row, max(one.peak for one in runs) / _MB, runs)


def _stream(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    with bench.database() as database:
        workload = streamed(database, bench.sizes.changes, 10)
        runs = {
            "memory-stream-arrow": ours.stream(workload, keep="file"),
            "memory-stopped-arrow": ours.stream(workload, keep="file", stall=bench.sizes.stall),
            "memory-stream-duckdb": ours.stream(workload, "duckdb"),
        }
        yield from (_peak(bench, row, runs[row.name]) for row in rows)


def _snapshot(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    with bench.database() as database:
        workload = copied(database, bench.sizes.copied)
        for row in rows:
            yield _peak(bench, row, ours.snapshot(workload, row.name.rsplit("-", 1)[1], keep="file"))


def _transactions(bench: Bench, rows: Sequence[Row]) -> Iterator[Result]:
    """Measure a small and a large transaction; what counts is the large one, and how it compares."""
    by_name = {row.name: row for row in rows}
    sinks = [sink for sink in ("arrow", "duckdb") if f"memory-transaction-{sink}" in by_name]
    if (growth := by_name.get("memory-transaction-growth")) and "arrow" not in sinks:
        sinks.insert(0, "arrow")
    small = _transaction(bench, bench.sizes.small_transaction, ["arrow"] if growth else [])
    large = _transaction(bench, bench.sizes.large_transaction, sinks)
    yield from (result for result in large.values() if result.row.name in by_name)
    if growth:
        peaks = {"small": small["arrow"].value or 1.0, "large": large["arrow"].value or 0.0}
        wrong = [*small["arrow"].wrong, *large["arrow"].wrong]
        over = reached(growth, peaks["large"] / peaks["small"], [], **peaks)
        yield attrs.evolve(over, verdict="failed", wrong=wrong) if wrong else over


def _transaction(bench: Bench, size: int, sinks: Sequence[str]) -> dict[str, Result]:
    if not sinks:
        return {}
    with bench.database() as database:
        workload = huge(database, size)
        runs = {sink: ours.stream(workload, sink, keep="file") for sink in sinks}
        return {sink: _peak(bench, _TRANSACTION[sink], run) for sink, run in runs.items()}


_TRANSACTION = {
    "arrow": _row("transaction-arrow", "one transaction of 2M rows into Arrow", _ARROW),
    "duckdb": _row("transaction-duckdb", "the same into DuckDB", _DUCKDB),
}

GROUPS = [
    Group(
        _stream,
        _row("stream-arrow", "drain a backlog into Arrow", _ARROW),
        _row("stopped-arrow", "the same, the destination stopped for 30 s", _ARROW),
        _row("stream-duckdb", "the same into DuckDB, upsert", _DUCKDB),
    ),
    Group(
        _snapshot,
        _row("snapshot-arrow", "copy a table into Arrow", _ARROW),
        _row("snapshot-parquet", "the same into Parquet", _ARROW),
        _row("snapshot-duckdb", "the same into DuckDB", _DUCKDB),
    ),
    Group(
        _transactions,
        *_TRANSACTION.values(),
        _row("transaction-growth", "2M rows in one transaction over 100k, into Arrow", _GROWTH, "x"),
    ),
]
