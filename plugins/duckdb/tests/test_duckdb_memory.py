"""Work that is larger than the memory DuckDB may hold."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from etl_core import AddColumn, Mode, Step, Stream, TableSchema, WidenColumn, Write, add_reserved

ORDERS = Stream("shop", "orders")
SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string()), ("other", pa.string())])


def rows(first: int, count: int, text: str, op: str = "r") -> pa.Table:
    ids = pc.add(pc.subtract(pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), count)), 1), first)
    texts = pc.binary_join_element_wise(text, pc.cast(pc.multiply(ids, 2654435761), pa.string()), "-")
    batch = pa.RecordBatch.from_arrays([ids, texts, texts], schema=SCHEMA)
    return pa.Table.from_batches([add_reserved(batch, ["id"], op)])


@pytest.mark.parametrize(
    "batches",
    [6, pytest.param(150, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
    ids=["some", "many"],
)
def test_snapshot_merge_and_schema_change_spill_instead_of_failing(make_duck: Any, batches: int) -> None:
    duck = make_duck(memory_limit=64 << 20).open()
    duck.ensure(SCHEMA, ["id"])
    duck.write(Mode.MERGE, step=Step.BEGIN)
    for n in range(batches):
        duck.write(Mode.MERGE, rows(n * 65536, 65536, "snapshot" * 4), Step.ROWS)
    duck.write(Mode.MERGE, rows(0, 1000, "repeated"), Step.ROWS)
    duck.write(Mode.MERGE, step=Step.END)
    duck.flush()
    wider = pa.schema([*SCHEMA, ("n", pa.int64())])
    changes = [AddColumn("n", pa.int32(), 7), WidenColumn("n", pa.int64())]
    duck.destination.ensure(TableSchema(ORDERS, wider, ("id",), None, b"1" * 20), changes)
    duck.destination.write(Write(ORDERS, Mode.MERGE, rows(5, 65536, "merged", "u")))
    duck.flush()
    repeated = "count(*) FILTER (text LIKE 'repeated%')"
    counted = f"SELECT count(*), count(DISTINCT id), count(*) FILTER (n = 7), {repeated}"
    assert duck.query(f"{counted} FROM shop.orders") == [
        (batches * 65536, batches * 65536, (batches - 1) * 65536, 5)
    ]


@pytest.mark.parametrize("step", [None, Step.ROWS])
def test_rows_are_let_go_when_written_not_when_flushed(duck: Any, step: Step | None) -> None:
    duck.ensure(SCHEMA, ["id"])
    duck.write(Mode.MERGE, step=Step.BEGIN)
    size = rows(0, 65536, "row").nbytes
    before = pa.total_allocated_bytes()
    for n in range(5):
        duck.write(Mode.MERGE, rows(n * 65536, 65536, "row"), step)
    assert pa.total_allocated_bytes() - before < size
