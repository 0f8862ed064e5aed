"""One run of a pipeline in a process of its own: the specification on stdin, what came of it on stdout.

Usage: python -m benchmarks.speed.child (with `tests` on the path); see `ours.Spec` for the specification.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.speed.clock import Clock, peak_memory
from benchmarks.speed.connectors import make
from benchmarks.speed.contents import Contents
from benchmarks.speed.latency import Latencies
from benchmarks.speed.ours import Spec
from benchmarks.speed.sinks import ArrowSink, ParquetSink

from etl_core import BatchPolicy, Cancelled, CommitPolicy, Duration, LoadSettings, Pipeline, Secret

__all__ = ["main"]


def main() -> None:
    """Run, then print one line of JSON."""
    spec = Spec.from_json(json.loads(sys.stdin.readline()))
    source, destination = _source(spec), _destination(spec)
    clock = Clock(source, destination)
    latencies = Latencies(source, destination) if spec.follow else None
    _run(spec, source, destination)
    peak = peak_memory()
    found = _found(spec, destination)
    answer: dict[str, Any] = {"seconds": clock.seconds, "cpu": clock.cpu, "peak": peak}
    answer |= {"contents": found.to_json() if found else None, "rows": getattr(destination, "rows", None)}
    answer["ordered"] = _ordered(spec, destination)
    answer["latencies"] = latencies.seconds if latencies else None
    print(json.dumps(answer))


def _source(spec: Spec) -> Any:
    settings = {name: value for name, value in spec.source.items() if value is not None}
    return make("extract", "postgres-cdc", dsn=Secret(spec.dsn), tables=list(spec.tables), **settings)


def _destination(spec: Spec) -> Any:
    if spec.sink == "duckdb":
        return make("destination", "duckdb", path=_home(spec) / "bench.duckdb")
    if spec.sink == "parquet":
        return ParquetSink(_home(spec))
    return ArrowSink(spec.keep, _home(spec), spec.stall)


def _home(spec: Spec) -> Path:
    return Path(spec.directory)


def _run(spec: Spec, source: Any, destination: Any) -> None:
    """Run to the source's end as of now; or, to follow it, until stdin ends."""
    wait = Duration(spec.max_wait)
    settings = LoadSettings(batch=BatchPolicy(max_wait=wait), commit=CommitPolicy(max_wait=wait))
    cancel = threading.Event()
    pipeline = Pipeline(
        "bench",
        source,
        destination,
        loader=make("load", spec.loader),
        state=make("state", "sqlite", path=_home(spec) / "state.db") if spec.sink == "duckdb" else None,
        load=settings,
        once=not spec.follow,
    )
    if spec.follow:
        threading.Thread(target=_await_end, args=(cancel,), daemon=True).start()
    try:
        pipeline.run(cancel=cancel)
    except Cancelled:
        if not spec.follow:
            raise


def _await_end(cancel: threading.Event) -> None:
    sys.stdin.read()
    cancel.set()


def _found(spec: Spec, destination: Any) -> Contents | None:
    """Return what arrived; None where it was dropped and only counted."""
    from benchmarks.speed import digest  # here, because its imports are no part of a pipeline's memory

    if spec.sink == "duckdb":
        return digest.of_duckdb(_home(spec) / "bench.duckdb", spec.tables, spec.table)
    if spec.sink == "parquet":
        return digest.of_parquet(_home(spec), spec.table)
    return None if spec.keep == "none" else digest.of_arrow(destination.tables(), spec.table)


def _ordered(spec: Spec, destination: Any) -> bool:
    """Say whether the sequences rise; only looked at where one stream was kept in memory."""
    if spec.sink != "arrow" or spec.keep != "memory" or len(spec.tables) != 1:
        return True
    from benchmarks.speed import digest

    return digest.ordered(destination.tables())


if __name__ == "__main__":
    main()
