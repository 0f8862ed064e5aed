"""Schema changes on their way through a run: announced by the source, decided, applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from support.connectors import ORDERS, Collector, ListSource, MemoryDestination, marker, rows

from etl_core.config import LoadSettings, SchemaPolicy
from etl_core.engine.pipeline import Pipeline
from etl_core.loaders.upsert import Upsert
from etl_core.model import AddColumn, Batch, Change, Kind, RenameColumn, TableSchema, WidenColumn, pack_seq


class Recording(MemoryDestination):
    """Keeps the changes it was asked to make."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[Change] = []

    def ensure(self, table: TableSchema, changes: Sequence[Any]) -> None:
        self.changes += changes
        super().ensure(table, changes)


def test_a_renamed_column_and_a_new_one_of_its_name_reach_the_destination_in_order() -> None:
    first = rows(1)
    renamed = pa.schema([("id", pa.int64()), ("title", pa.string()), ("name", pa.string())])
    changes = (RenameColumn("name", "title"), AddColumn("name", pa.string(), "x"))
    batches = [
        Batch.of(ORDERS, first, position=1),
        marker(Kind.SCHEMA, pack_seq(1, 2, 1), schema=renamed, key=("id",), changes=changes, position=1),
    ]
    destination = Recording()
    source = ListSource(batches)
    Pipeline("p", source, destination, loader=Upsert()).run()
    assert destination.changes == list(changes)


def test_a_discarded_column_is_said_once() -> None:
    wider = rows(1, extra=["x"])
    batches = [Batch.of(ORDERS, rows(n), position=n) for n in (1, 2)]
    batches += [Batch.of(ORDERS, wider, position=3), Batch.of(ORDERS, rows(4), position=4)]
    batches.append(Batch.of(ORDERS, wider, position=5))
    destination, observer = Recording(), Collector()
    load = LoadSettings(schema=SchemaPolicy.uniform("discard"))
    Pipeline(
        "p", ListSource(batches), destination, loader=Upsert(), load=load, observers=[("c", observer)]
    ).run()
    assert observer.facts("column_discarded") == [{"stream": "public.orders", "column": "extra"}]
    assert all("extra" not in write.rows.column_names for write in destination.writes if write.rows)


def test_a_snapshot_may_bring_a_column_in_a_type_that_is_no_widening() -> None:
    """A source that rewrote values is copied again; every row of the table is replaced."""
    destination = Recording()
    destination.tables[ORDERS] = TableSchema(ORDERS, pa.schema([("id", pa.int64()), ("name", pa.bool_())]))
    schema = rows(1).schema
    batches = [
        marker(Kind.SNAPSHOT_BEGIN, pack_seq(1, 2, 0), schema=schema, key=("id",)),
        Batch.of(ORDERS, rows(1)),
        marker(Kind.SNAPSHOT_END, pack_seq(1, 2, 9), position=1),
    ]
    Pipeline("p", ListSource(batches), destination, loader=Upsert()).run()
    assert destination.changes == [WidenColumn("name", pa.string(), rewrites=True)]
