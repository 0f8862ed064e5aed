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
    for index in range(each.rows.num_rows):
        # `take` builds fresh buffers: what a slice keeps of its neighbours must not reach the identity.
        row = each.rows.take(pa.array([index])).combine_chunks()
        packed = _pack(row)
        yield DeadLetter(
            pipeline,
            epoch,
            each.stream,
            _sequence(row) or hashlib.sha256(packed + each.stage.encode()).hexdigest(),
            each.stage,
            each.code,
            each.column,
            packed,
            at,
        )


def _sequence(row: pa.Table) -> str | None:
    value = row.column(SEQ)[0].as_py() if SEQ in row.column_names else None
    return value.hex() if value is not None else None


def _pack(row: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_table(_compact(row))
    return bytes(sink.getvalue())


def _compact(row: pa.Table) -> pa.Table:
    """Leave out what dictionaries hold for other rows."""
    for index, field in enumerate(row.schema):
        if pa.types.is_dictionary(field.type):
            plain = pc.cast(row.column(index), field.type.value_type)
            row = row.set_column(index, field, plain.dictionary_encode().cast(field.type))
    return row
