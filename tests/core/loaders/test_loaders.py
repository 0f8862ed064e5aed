"""Append, upsert and replace: what tables they ask for and what writes they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from etl_core.errors import ConfigError, SchemaError
from etl_core.interfaces import Loader
from etl_core.loaders.append import Append
from etl_core.loaders.config import UpsertConfig
from etl_core.loaders.plugin import etl_register_load
from etl_core.loaders.replace import Replace
from etl_core.loaders.upsert import Upsert
from etl_core.model import (
    COMMIT_TS,
    DELETED,
    OLD_KEY,
    OP,
    RESERVED,
    SEQ,
    Batch,
    Kind,
    Mode,
    Step,
    Stream,
    Write,
    pack_seq,
)
from etl_core.schema import add_reserved, reserved_schema, with_key

ORDERS, ITEMS = Stream("public", "orders"), Stream("public", "items")
COLUMNS = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("n", pa.int64(), nullable=False)])
KEYED = with_key(COLUMNS, ["id"])


def changes(
    ops: str, ids: Sequence[int], old: Sequence[Any] | None = None, key: Sequence[str] = ("id",)
) -> Batch:
    rows = pa.record_batch({"id": pa.array(ids, pa.int64()), "n": pa.array(ids, pa.int64())})
    schema = reserved_schema(rows.schema, key)
    if ops:
        seqs = [pack_seq(1, 1, n) for n in range(len(ids))]
        rows = rows.append_column(schema.field(OP), pa.array(list(ops)))
        rows = rows.append_column(schema.field(SEQ), pa.array(seqs, pa.binary(20)))
    if old is not None:
        rows = rows.append_column(schema.field(OLD_KEY), pa.array(old, schema.field(OLD_KEY).type))
    return Batch.of(ORDERS, add_reserved(rows, key, "r"))


def marker(kind: Kind) -> Batch:
    return Batch(kind, ORDERS, seq=pack_seq(1, 9, 9))


def planned(loader: Loader, *batches: Batch, schema: pa.Schema = KEYED) -> list[Write]:
    loader.schema(ORDERS, schema)
    return [write for batch in batches for write in loader.plan(batch)]


def shape(writes: Sequence[Write]) -> list[tuple[Mode, Step | None, int | None]]:
    return [(w.mode, w.step, None if w.rows is None else w.rows.num_rows) for w in writes]


SNAPSHOT = (marker(Kind.SNAPSHOT_BEGIN), changes("rr", [1, 2]), marker(Kind.SNAPSHOT_END))


@pytest.mark.parametrize("registration", etl_register_load(), ids=lambda r: r.name)
def test_each_loader_is_made_from_its_default_settings(registration: Any) -> None:
    module, _, name = registration.factory.partition(":")
    factory = getattr(__import__(module, fromlist=[name]), name)
    assert isinstance(factory(registration.config()), Loader)
    assert registration.summary


class TestAppend:
    def test_a_history_has_the_reserved_columns_and_takes_key_only_rows(self) -> None:
        table = Append().schema(ORDERS, KEYED)
        assert table.control is not None
        assert tuple(table.control.names) == RESERVED
        assert [field.nullable for field in table.columns] == [False, True]
        assert table.key == ("id",)

    def test_a_stream_without_a_key_has_no_old_keys(self) -> None:
        table = Append().schema(ORDERS, COLUMNS)
        assert table.control is not None
        assert OLD_KEY not in table.control.names
        [write] = planned(Append(), changes("", [1], key=()), schema=COLUMNS)
        assert write.rows is not None
        assert OLD_KEY not in write.rows.column_names

    def test_every_change_is_passed_on_uncopied_and_a_truncate_is_not(self) -> None:
        batch = changes("iud", [1, 1, 1])
        [write] = planned(Append(), batch, marker(Kind.TRUNCATE))
        assert write.mode is Mode.APPEND
        assert write.seq == pack_seq(1, 1, 2)
        assert write.rows is not None
        before = batch.rows.column("n").buffers()[1].address
        assert write.rows.column("n").chunk(0).buffers()[1].address == before

    def test_a_snapshot_is_staged_and_what_follows_is_not(self) -> None:
        assert shape(planned(Append(), *SNAPSHOT, changes("u", [1]))) == [
            (Mode.APPEND, Step.BEGIN, None),
            (Mode.APPEND, Step.ROWS, 2),
            (Mode.APPEND, Step.END, None),
            (Mode.APPEND, None, 1),
        ]

    @pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [0, 2, None], [None, None, 1]], ids=str)
    def test_a_write_has_the_highest_sequence_of_its_rows(self, order: Sequence[int | None]) -> None:
        rows = changes("iii", [1, 2, 3]).rows
        assert isinstance(rows, pa.RecordBatch)
        seqs = pa.array([None if n is None else pack_seq(1, 1, n) for n in order], pa.binary(20))
        rows = rows.set_column(rows.schema.get_field_index(SEQ), rows.schema.field(SEQ), seqs)
        [write] = planned(Append(), Batch.of(ORDERS, rows))
        assert write.seq == pack_seq(1, 1, max(n for n in order if n is not None))

    def test_rows_without_sequences_make_a_write_without_one(self) -> None:
        assert planned(Append(), changes("", [1]))[0].seq is None


class TestUpsert:
    def test_a_mirror_has_the_sources_columns(self) -> None:
        table = Upsert().schema(ORDERS, KEYED)
        assert (table.columns, table.key, len(table.control or ())) == (KEYED, ("id",), 0)

    def test_settings_add_control_columns(self) -> None:
        table = Upsert(UpsertConfig(delete="soft", metadata=True)).schema(ORDERS, KEYED)
        assert table.control is not None
        assert table.control.names == [DELETED, SEQ, COMMIT_TS]

    def test_a_stream_without_a_key_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="needs a key") as caught:
            Upsert().schema(ORDERS, COLUMNS)
        assert "keys" in str(caught.value.hint)

    @pytest.mark.parametrize(
        ("keys", "orders", "items"),
        [
            (["n"], ("n",), ("n",)),
            ({"public.orders": ["id", "n"]}, ("id", "n"), ("id",)),
            ({'"public"."items"': ["n"]}, ("id",), ("n",)),
        ],
        ids=["all", "one", "quoted"],
    )
    def test_the_document_may_name_the_key(self, keys: Any, orders: Any, items: Any) -> None:
        loader = Upsert(UpsertConfig(keys=keys))
        assert loader.schema(ORDERS, KEYED).key == orders
        assert loader.schema(ITEMS, KEYED).key == items

    def test_a_key_column_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="not in the stream") as caught:
            Upsert(UpsertConfig(keys=["ID"])).schema(ORDERS, KEYED)
        assert "id, n" in str(caught.value.hint)

    def test_a_batch_is_one_write_with_a_row_per_key(self) -> None:
        [write] = planned(Upsert(), changes("iuid", [1, 1, 2, 3]))
        assert shape([write]) == [(Mode.MERGE, None, 3)]
        assert write.seq == pack_seq(1, 1, 3)

    def test_a_snapshot_is_staged_and_a_truncate_empties(self) -> None:
        assert shape(planned(Upsert(), *SNAPSHOT, marker(Kind.TRUNCATE))) == [
            (Mode.MERGE, Step.BEGIN, None),
            (Mode.MERGE, Step.ROWS, 2),
            (Mode.MERGE, Step.END, None),
            (Mode.TRUNCATE, None, None),
        ]

    def test_rows_say_whether_they_are_deleted_when_deletes_are_soft(self) -> None:
        [write] = planned(Upsert(UpsertConfig(delete="soft")), changes("id", [1, 2]))
        assert write.rows is not None
        assert write.rows.column(DELETED).to_pylist() == [False, True]

    def test_the_sources_key_may_hold_more_columns_than_the_mirrors(self) -> None:
        source_key = ("id", "n")
        batch = changes("uu", [1, 2], [{"id": 9, "n": 9}, {"id": 2, "n": 9}], source_key)
        [write] = planned(Upsert(UpsertConfig(keys=["id"])), batch, schema=with_key(COLUMNS, source_key))
        assert write.rows is not None
        assert write.rows.column(OLD_KEY).to_pylist() == [{"id": 9}, None]

    def test_a_key_the_source_does_not_send_serves_inserts_only(self) -> None:
        loader = Upsert(UpsertConfig(keys=["n"]))
        [write] = planned(loader, changes("ri", [1, 2]))
        assert write.rows is not None
        assert write.rows.schema.field(OLD_KEY).type == pa.struct([("n", pa.int64())])
        with pytest.raises(SchemaError, match="old values") as caught:
            planned(loader, changes("iu", [1, 1]))
        assert "REPLICA IDENTITY FULL" in str(caught.value.hint)


class TestReplace:
    def test_a_snapshot_replaces_the_table_with_its_data_columns(self) -> None:
        writes = planned(Replace(), *SNAPSHOT)
        assert shape(writes) == [
            (Mode.REPLACE, Step.BEGIN, None),
            (Mode.REPLACE, Step.ROWS, 2),
            (Mode.REPLACE, Step.END, None),
        ]
        assert writes[1].rows is not None
        assert writes[1].rows.column_names == ["id", "n"]
        assert Replace().schema(ORDERS, KEYED).control is None

    @pytest.mark.parametrize(
        "batches",
        [
            (changes("i", [1]),),
            (marker(Kind.SNAPSHOT_BEGIN), changes("ru", [1, 2])),
            (marker(Kind.TRUNCATE),),
            (*SNAPSHOT, changes("r", [3])),
        ],
        ids=["insert", "change within", "truncate", "rows after the end"],
    )
    def test_changes_are_refused(self, batches: Sequence[Batch]) -> None:
        with pytest.raises(ConfigError, match="snapshots only") as caught:
            planned(Replace(), *batches)
        assert "snapshot: only" in str(caught.value.hint)
