"""How cost grows with rows, tables and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
from benchmarks.speed import controls, ours
from benchmarks.speed.bench import Bench
from benchmarks.speed.contents import columns
from benchmarks.speed.results import Result, Row, compared
from benchmarks.speed.runs import Run, alternate
from benchmarks.speed.workloads import copied, streamed

__all__ = ["measured"]

_TRANSACTION = 1_000
_PAIRS = 3


def measured(bench: Bench) -> Iterator[Result]:
    """Measure streams and snapshots into Arrow: `seconds`, and memory and contents of a run of its own."""
    sizes = bench.sizes
    for rows in sizes.grown_rows:
        yield from _point(bench, f"rows-{rows}", rows)
    for tables in sizes.grown_tables:
        yield from _point(bench, f"tables-{tables}", sizes.grown, tables=tables)
    for count in sizes.grown_columns:
        yield from _point(bench, f"columns-{count}", sizes.values // count, table=columns(count))


def _point(bench: Bench, name: str, rows: int, **shape: Any) -> Iterator[Result]:
    with bench.database() as database:
        stream = streamed(database, rows, _TRANSACTION, **shape)
        row = Row(f"growth-{name}-stream", f"drain {rows} changes", "pg_recvlogical", None)
        control = controls.receiving(stream)
        yield _grown(bench, row, control, lambda keep: ours.stream(stream, keep=keep), stream.changes)
    with bench.database() as database:
        copy = copied(database, rows, **shape)
        row = Row(f"growth-{name}-snapshot", f"copy {rows} rows", "psql COPY", None)
        control = controls.copying(copy)
        yield _grown(bench, row, control, lambda keep: ours.snapshot(copy, keep=keep), copy.mirror.rows)


def _grown(
    bench: Bench,
    row: Row,
    control: Callable[[], Run],
    run: Callable[[str], Callable[[], Run]],
    moved: int,
) -> Result:
    """Time runs that drop what comes; one more keeps it in a file, for its contents and its memory."""
    series = alternate(control, {row.name: run("none")}, min(bench.pairs, _PAIRS), bench.note)
    result = compared(row, series, series.arms[row.name], moved)
    kept = run("file")()
    bench.note(row.name, kept)
    wrong = [*result.wrong, *([kept.wrong] if kept.wrong else [])]
    return attrs.evolve(result, peak=kept.peak, wrong=wrong)
