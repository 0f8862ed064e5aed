"""Whatever fails, whenever, and however batches are cut: every change is there once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.connectors import ORDERS, SCHEMA, ListSource, MemoryDestination, changes, marker

from etl_core.config import BatchPolicy, CommitPolicy, Duration, LoadSettings, RetryPolicy, Size
from etl_core.engine.pipeline import Pipeline
from etl_core.errors import RetryableError
from etl_core.interfaces import Context, Loader
from etl_core.loaders.append import Append
from etl_core.loaders.upsert import Upsert
from etl_core.model import Batch, Kind, Write
from etl_core.state.memory import MemoryStore

PATIENT = RetryPolicy(attempts=1000, base=Duration(0), cap=Duration(0))


class FlakySource(ListSource):
    """Fails when a drawn number says so; failures are finite."""

    def __init__(self, batches: list[Batch], failures: Iterator[bool]) -> None:
        super().__init__(batches)
        self.failures = failures

    def read(self, ctx: Context, resume: Any, until: Any = None) -> Iterator[Batch | None]:
        for batch in super().read(ctx, resume, until):
            if next(self.failures, False):
                raise RetryableError("source")
            yield batch
            if next(self.failures, False):
                yield None


class FlakyDestination(MemoryDestination):
    def __init__(self, failures: Iterator[bool]) -> None:
        super().__init__()
        self.hook = self._maybe
        self.failures = failures

    def _maybe(self, call: str) -> None:
        if call not in ("abort", "close") and next(self.failures, False):
            raise RetryableError(call)


@st.composite
def histories(draw: st.DrawFn) -> list[Batch]:
    """Draw a snapshot and changes; a position only after some of the batches."""
    batches: list[Batch] = [marker(Kind.SNAPSHOT_BEGIN, schema=SCHEMA, key=("id",))]
    lsn = 1
    for size in draw(st.lists(st.integers(1, 4), max_size=4)):
        batches.append(Batch.of(ORDERS, changes(1, lsn, "r" * size, range(lsn, lsn + size))))
        lsn += size
    batches.append(marker(Kind.SNAPSHOT_END))
    for size in draw(st.lists(st.integers(1, 4), max_size=8)):
        batches.append(Batch.of(ORDERS, changes(1, lsn, "i" * size, range(lsn, lsn + size))))
        lsn += size
    ends = {n for n in range(len(batches)) if draw(st.booleans())} | {len(batches) - 1}
    return [_positioned(batch, n + 1) if n in ends else batch for n, batch in enumerate(batches)]


def _positioned(batch: Batch, value: int) -> Batch:
    return Batch(
        batch.kind, batch.stream, batch.rows, batch.schema, batch.key, batch.changes, batch.seq, value
    )


@pytest.mark.parametrize("loader", [Append, Upsert])
@given(
    history=histories(),
    source_failures=st.lists(st.booleans(), max_size=40),
    destination_failures=st.lists(st.booleans(), max_size=40),
    max_rows=st.integers(1, 8),
    max_bytes=st.sampled_from([1, 1 << 20]),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_every_change_is_there_once_and_in_order(
    loader: type[Loader],
    history: list[Batch],
    source_failures: list[bool],
    destination_failures: list[bool],
    max_rows: int,
    max_bytes: int,
) -> None:
    source = FlakySource(history, iter(source_failures))
    destination, state = FlakyDestination(iter(destination_failures)), MemoryStore()
    load = LoadSettings(
        batch=BatchPolicy(max_rows=max_rows),
        commit=CommitPolicy(max_bytes=Size(max_bytes), max_wait=Duration(0)),
    )
    Pipeline("p", source, destination, loader=loader(), state=state, load=load, retry=PATIENT).run()
    wanted = [i for b in history if isinstance(b.rows, pa.RecordBatch) for i in b.rows.column(0).to_pylist()]
    assert destination.ids() == wanted
    assert state.load("p") == destination.position
    assert destination.position is not None
    assert destination.position.value == len(history)
    assert source.acked == sorted(source.acked)


def test_a_write_is_never_repeated_on_its_own() -> None:
    destination = MemoryDestination()
    seen: list[Write] = []
    destination.fail["flush"] = [RetryableError("lost the reply")]
    source = ListSource([Batch.of(ORDERS, changes(1, 1, "i", [1]), position=1)])
    original = destination.write

    def write(write: Write) -> Any:
        seen.append(write)
        return original(write)

    destination.write = write  # type: ignore[method-assign]
    Pipeline("p", source, destination, retry=PATIENT).run()
    assert source.reads == [None, None]
    assert destination.calls.count("flush") == 2
    assert destination.ids() == [1]
