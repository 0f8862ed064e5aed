"""What the engine adds per batch: a null source to a null destination, against a bare loop.

Usage: python tests/benchmarks/engine_overhead.py [--batches N] [--rounds N] [--json]

Both sides move the same prepared batch of 65,536 rows. The bare loop iterates the source and hands each
batch to the destination, in one thread per pipeline. Runs alternate: bare loop, engine, bare loop again.
The two bare loops are the control: what they differ by is noise, and no difference below it means
anything. Figures are medians over the rounds, per batch and pipeline: wall time, and CPU time of the
whole process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from attrs import asdict, frozen

from etl_core import (
    Batch,
    Context,
    Destination,
    Mode,
    Pipeline,
    PipelineManager,
    Position,
    Source,
    Stream,
    StreamInfo,
    Write,
)

ROWS = 65_536
STREAM = Stream("public", "orders")
PIPELINES = (1, 4, 8)


def prepared() -> pa.RecordBatch:
    """Return a batch of an ordinary width: two numbers, a text, a time."""
    numbers = pa.array(range(ROWS), pa.int64())
    texts = pa.array([f"order number {n}" for n in range(ROWS)])
    times = numbers.cast(pa.timestamp("us", tz="UTC"))
    return pa.record_batch(
        [numbers, numbers.cast(pa.float64()), texts, times], names=["id", "total", "note", "at"]
    )


class NullSource(Source):
    """Yields one batch again and again."""

    def __init__(self, rows: pa.RecordBatch, batches: int) -> None:
        self.rows = rows
        self.batches = batches

    def streams(self, ctx: Context) -> Sequence[StreamInfo]:
        return [StreamInfo(STREAM, self.rows.schema)]

    def read(self, ctx: Context | None, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        for number in range(resume or 0, self.batches):
            yield Batch.of(STREAM, self.rows, position=number + 1)


class NullDestination(Destination):
    """Counts rows and drops them."""

    modes: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})

    def __init__(self) -> None:
        self.rows = 0

    def write(self, write: Write) -> None:
        self.rows += write.rows.num_rows if write.rows is not None else 0

    def flush(self, position: Position) -> None:
        return None


def bare(rows: pa.RecordBatch, pipelines: int, batches: int) -> int:
    """Move the batches without an engine; return the rows moved."""
    destinations = [NullDestination() for _ in range(pipelines)]

    def loop(destination: NullDestination) -> None:
        for batch in NullSource(rows, batches).read(None, None):
            if batch is not None:
                destination.write(Write(STREAM, Mode.APPEND, pa.Table.from_batches([batch.rows])))

    threads = [threading.Thread(target=loop, args=(each,)) for each in destinations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(each.rows for each in destinations)


def engine(rows: pa.RecordBatch, pipelines: int, batches: int) -> int:
    """Move the batches through pipelines; return the rows moved."""
    manager = PipelineManager(workers=pipelines)
    destinations = [NullDestination() for _ in range(pipelines)]
    for number, destination in enumerate(destinations):
        manager.add_pipeline(Pipeline(f"null-{number}", NullSource(rows, batches), destination))
    manager.run_all()
    return sum(each.rows for each in destinations)


@frozen
class Figures:
    """Microseconds per batch: medians of the rounds."""

    pipelines: int
    bare_wall: float
    control_wall: float
    engine_wall: float
    overhead_wall: float
    bare_cpu: float
    engine_cpu: float
    overhead_cpu: float


def measure(rows: pa.RecordBatch, pipelines: int, batches: int, rounds: int) -> Figures:
    """Alternate bare loop, engine, bare loop; return medians per batch."""
    timed: dict[str, list[tuple[float, float]]] = {"bare": [], "engine": [], "control": []}
    for _ in range(rounds):
        for name, move in (("bare", bare), ("engine", engine), ("control", bare)):
            timed[name].append(_time(move, rows, pipelines, batches))
    wall = {name: statistics.median(each[0] for each in runs) for name, runs in timed.items()}
    cpu = {name: statistics.median(each[1] for each in runs) for name, runs in timed.items()}
    base_wall, base_cpu = (wall["bare"] + wall["control"]) / 2, (cpu["bare"] + cpu["control"]) / 2
    return Figures(
        pipelines,
        wall["bare"],
        wall["control"],
        wall["engine"],
        wall["engine"] - base_wall,
        cpu["bare"],
        cpu["engine"],
        cpu["engine"] - base_cpu,
    )


def _time(
    move: Callable[[pa.RecordBatch, int, int], int], rows: pa.RecordBatch, pipelines: int, batches: int
) -> tuple[float, float]:
    """Return wall and CPU microseconds per batch; every row has to arrive."""
    wall, cpu = time.perf_counter(), time.process_time()
    moved = move(rows, pipelines, batches)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert moved == pipelines * batches * rows.num_rows
    return wall * 1e6 / (pipelines * batches), cpu * 1e6 / (pipelines * batches)


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=2000, help="batches per pipeline and run")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = prepared()
    figures = [measure(rows, pipelines, options.batches, options.rounds) for pipelines in PIPELINES]
    if options.json:
        print(json.dumps([asdict(each) for each in figures]))
        return
    print(f"microseconds per batch of {ROWS} rows, medians of {options.rounds} rounds")
    print(" ".join(f"{name:>13}" for name in asdict(figures[0])))
    for each in figures:
        print(" ".join(f"{value:13.1f}" for value in asdict(each).values()))


if __name__ == "__main__":
    main()
