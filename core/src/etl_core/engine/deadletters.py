"""Rejected rows as dead letters: one Arrow stream per row, with an identity that repeats."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.interfaces import DeadLetter
from etl_core.model import SEQ, Rejected

__all__ = ["to_letters"]


def to_letters(pipeline: str, epoch: int, rejected: Sequence[Rejected], at: float) -> list[DeadLetter]:
    """Return one dead letter per rejected row; `at` is Unix seconds.

    The same row gives the same letter however batches are cut: its `seq` is its sequence in hex, or
    without one a hash of row and stage, so that equal rows without a sequence are one letter.
    """
    return [letter for each in rejected for letter in _letters(pipeline, epoch, each, at)]


def _letters(pipeline: str, epoch: int, each: Rejected, at: float) -> Iterator[DeadLetter]:
    for rows in each.rows.to_batches():
        for index in range(rows.num_rows):
            # `take` builds fresh buffers: what a slice keeps of its neighbours must not reach the identity.
            row = rows.take(pa.array([index]))
            packed = _pack(row)
            seq = _sequence(row) or hashlib.sha256(packed + each.stage.encode()).hexdigest()
            yield DeadLetter(
                pipeline, epoch, each.stream, seq, each.stage, each.code, each.column, packed, at
            )


def _sequence(row: pa.RecordBatch) -> str | None:
    index = row.schema.get_field_index(SEQ)
    value = row.column(index)[0].as_py() if index >= 0 else None
    return value.hex() if value is not None else None


def _pack(row: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_batch(_compact(row))
    return bytes(sink.getvalue())


def _compact(row: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out what dictionaries hold for other rows."""
    for index, field in enumerate(row.schema):
        if pa.types.is_dictionary(field.type):
            plain = pc.cast(row.column(index), field.type.value_type)
            row = row.set_column(index, field, plain.dictionary_encode().cast(field.type))
    return row
