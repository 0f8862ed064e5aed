"""Ours: a pipeline in a process of its own, and what it is told."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import attrs
from attrs import frozen
from benchmarks.speed import processes
from benchmarks.speed.contents import Column, Contents
from benchmarks.speed.processes import answer
from benchmarks.speed.runs import Run
from benchmarks.speed.workloads import PUBLICATION, SLOT, Copy, Stream

__all__ = ["Spec", "snapshot", "spawn", "stream", "verified"]


@frozen
class Spec:
    """A pipeline from `tables` to a sink: `arrow`, `parquet` or `duckdb`."""

    dsn: str
    tables: Sequence[str]
    table: Sequence[Column]
    sink: str
    loader: str
    #: Settings of postgres-cdc; None: its default.
    source: Mapping[str, Any]
    directory: str = ""
    #: What becomes of Arrow: `memory`, `file` or `none`.
    keep: str = "memory"
    #: Seconds for which the destination does not take the first rows.
    stall: float = 0.0
    max_wait: float = 1.0
    #: Follow the source until told to end, and take note of how long changes were under way.
    follow: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(**{**data, "table": [Column(**column) for column in data["table"]]})


def stream(workload: Stream, sink: str = "arrow", **options: Any) -> Callable[[], Run]:
    """Return the run that drains a backlog: into a history in Arrow, a mirror in DuckDB."""

    def run() -> Run:
        with workload.database.slot(SLOT) as slot:
            source = {"slot": slot, "publication": PUBLICATION, "snapshot": "never"}
            loader = "upsert" if sink == "duckdb" else "append"
            spec = _spec(workload, sink, loader, source, options)
            return _run(spec, workload.mirror if sink == "duckdb" else workload.history)

    return run


def snapshot(
    workload: Copy, sink: str = "arrow", readers: int | None = None, **options: Any
) -> Callable[[], Run]:
    """Return the run that copies the tables."""
    loader = "replace" if sink == "duckdb" else "append"
    source = {"snapshot": "only", "snapshot_readers": readers}

    def run() -> Run:
        return _run(_spec(workload, sink, loader, source, options), workload.mirror)

    return run


def _spec(workload: Copy, sink: str, loader: str, source: Mapping[str, Any], options: Any) -> Spec:
    where = workload.database.dsn, workload.tables, workload.table
    return Spec(*where, sink, loader, source, **options)


def spawn(spec: Spec) -> subprocess.Popen[str]:
    """Start the child and tell it what to do; its stdin stays open."""
    return processes.spawn("benchmarks.speed.child", attrs.asdict(spec))


def _run(spec: Spec, wanted: Contents) -> Run:
    with tempfile.TemporaryDirectory(prefix="etl-bench-run-") as directory:
        found = answer(spawn(attrs.evolve(spec, directory=directory)))
    return verified(found, wanted)


def verified(found: Mapping[str, Any], wanted: Contents) -> Run:
    """Return the run that a child reports, with what it moved wrongly."""
    run = Run(found["seconds"], found["cpu"], found["peak"])
    if found["contents"] is None:
        return run if found["rows"] == wanted.rows else attrs.evolve(run, wrong=f"{found['rows']} rows")
    run = run.checked(Contents.from_json(found["contents"]), wanted)
    return run if found["ordered"] else attrs.evolve(run, wrong="the sequences do not rise")
