from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.connectors import ORDERS, rows

from etl_core.config import BatchPolicy, Duration, Size
from etl_core.engine.batching import Batcher
from etl_core.model import SEQ, Stream, pack_seq
from etl_core.schema import add_reserved

OTHER = Stream("public", "other")


def reserved(batch: pa.RecordBatch) -> pa.RecordBatch:
    return add_reserved(batch, ("id",), "i")


def ids(table: pa.Table) -> list[int]:
    return table.column("id").to_pylist()


@given(
    st.lists(st.tuples(st.sampled_from([ORDERS, OTHER]), st.integers(1, 30)), max_size=20),
    st.integers(1, 20),
)
@settings(deadline=None, max_examples=60)
def test_every_row_comes_once_in_order_and_no_batch_is_too_long(
    arrivals: list[tuple[Stream, int]], max_rows: int
) -> None:
    batcher = Batcher(BatchPolicy(max_rows=max_rows), 1 << 30)
    seen: dict[Stream, list[int]] = {ORDERS: [], OTHER: []}
    wanted: dict[Stream, list[int]] = {ORDERS: [], OTHER: []}
    number = 0
    for stream, count in arrivals:
        batch = rows(*range(number, number + count))
        wanted[stream] += range(number, number + count)
        number += count
        for name, table in batcher.add(stream, reserved(batch)):
            assert table.num_rows <= max_rows
            seen[name] += ids(table)
    for name, table in batcher.drain():
        seen[name] += ids(table)
    assert seen == wanted


def test_buffers_are_passed_on_without_a_copy() -> None:
    batcher = Batcher(BatchPolicy(max_rows=4), 1 << 30)
    first, second = reserved(rows(1, 2, 3)), reserved(rows(4, 5, 6))
    addresses = {b.column("id").buffers()[1].address for b in (first, second)}
    tables = [table for batch in (first, second) for _, table in batcher.add(ORDERS, batch)]
    tables += [table for _, table in batcher.drain()]
    chunks = [chunk for table in tables for chunk in table.column("id").chunks]
    assert {chunk.buffers()[1].address for chunk in chunks} == addresses
    assert [value for table in tables for value in ids(table)] == [1, 2, 3, 4, 5, 6]


def test_a_batch_is_cut_by_bytes() -> None:
    batch = reserved(rows(*range(1000)))
    batcher = Batcher(BatchPolicy(max_bytes=Size(batch.nbytes // 4)), 1 << 30)
    tables = [table for _, table in batcher.add(ORDERS, batch)]
    assert len(tables) >= 3
    assert max(table.nbytes for table in tables) < batch.nbytes // 2


def test_rows_of_one_seq_stay_together() -> None:
    seqs = pa.array([pack_seq(1, 1, n) for n in (2, 4, 4, 4, 6)], pa.binary(20))
    batch = reserved(rows(1, 2, 3, 4, 5).append_column(SEQ, seqs))
    batcher = Batcher(BatchPolicy(max_rows=2), 1 << 30)
    tables = [ids(table) for _, table in [*batcher.add(ORDERS, batch), *batcher.drain()]]
    assert tables == [[1, 2, 3, 4], [5]]


def test_no_batch_spans_two_schemas() -> None:
    batcher = Batcher(BatchPolicy(), 1 << 30)
    assert list(batcher.add(ORDERS, reserved(rows(1)))) == []
    wider = reserved(rows(2, extra=[1.5]))
    assert [ids(table) for _, table in batcher.add(ORDERS, wider)] == [[1]]
    assert [ids(table) for _, table in batcher.drain()] == [[2]]


def test_all_streams_together_stay_within_the_memory() -> None:
    batch = reserved(rows(*range(100)))
    batcher = Batcher(BatchPolicy(), int(batch.nbytes * 1.5))
    assert list(batcher.add(ORDERS, batch)) == []
    assert {stream for stream, _ in batcher.add(OTHER, batch)} == {ORDERS, OTHER}


@pytest.mark.parametrize(("wait", "due"), [(0.0, [1]), (3600.0, [])])
def test_rows_fall_due_after_max_wait(wait: float, due: list[int]) -> None:
    batcher = Batcher(BatchPolicy(max_wait=Duration(wait)), 1 << 30)
    assert batcher.deadline() is None
    assert list(batcher.add(ORDERS, reserved(rows(1)))) == []
    assert batcher.deadline() is not None
    assert [i for _, table in batcher.due() for i in ids(table)] == due
