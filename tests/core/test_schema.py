"""The Arrow side of the model: keys in schemas, reserved columns."""

from __future__ import annotations

import pyarrow as pa
import pytest

from etl_core.errors import SchemaError
from etl_core.model import OLD_KEY, OP, RESERVED, SEQ, UNCHANGED, pack_seq
from etl_core.schema import (
    SEQ_TYPE,
    UNCHANGED_TYPE,
    add_reserved,
    data_columns,
    key_of,
    old_key_type,
    reserved_schema,
    with_key,
)

COLUMNS = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("name", pa.string())])


def rows() -> pa.RecordBatch:
    return pa.record_batch({"id": pa.array([1, 2]), "name": pa.array(["a", None])}, schema=COLUMNS)


def test_a_key_travels_in_the_schema_beside_other_metadata() -> None:
    schema = with_key(COLUMNS.with_metadata({b"own": b"1"}), ("id", "na me"))
    assert key_of(schema) == ("id", "na me")
    assert schema.metadata[b"own"] == b"1"
    assert key_of(COLUMNS) == ()
    assert key_of(with_key(schema, ())) == ()


def test_the_old_key_has_the_types_of_the_key_columns() -> None:
    assert old_key_type(COLUMNS, ("id",)) == pa.struct([("id", pa.int64())])


def test_absent_reserved_columns_are_filled_and_data_is_not_copied() -> None:
    plain = rows()
    full = add_reserved(plain, ("id",), "i")
    assert full.schema.names == ["id", "name", *RESERVED]
    assert full.column(OP).to_pylist() == ["i", "i"]
    assert all(full.column(name).null_count == 2 for name in RESERVED if name != OP)
    assert full.column("id").buffers()[1].address == plain.column("id").buffers()[1].address
    assert data_columns(full.schema) == plain.schema


def test_reserved_columns_that_are_there_keep_their_buffers() -> None:
    seqs = pa.array([pack_seq(1, 2, 3), pack_seq(1, 2, 4)], SEQ_TYPE)
    given = rows().append_column(SEQ, seqs)
    full = add_reserved(given, ("id",), "u")
    assert full.column(SEQ).buffers()[1].address == seqs.buffers()[1].address
    assert full.schema.field(UNCHANGED).type == UNCHANGED_TYPE
    assert full.schema.field(OLD_KEY).type == old_key_type(COLUMNS, ("id",))
    assert [full.schema.field(name) for name in RESERVED] == list(reserved_schema(COLUMNS, ("id",)))


def test_a_reserved_column_of_another_type_is_refused() -> None:
    with pytest.raises(SchemaError, match="wrong type") as caught:
        add_reserved(rows().append_column(SEQ, pa.array([1, 2])), (), "i")
    assert caught.value.column == SEQ
