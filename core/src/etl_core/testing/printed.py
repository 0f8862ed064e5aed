"""What is compared: the bytes of a batch, and the rows of a journal as they print."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from etl_core.model import COMMIT_TS, SEQ, Batch, unpack_seq
from etl_core.testing.journal import entries

__all__ = ["bytes_of", "printed_rows"]


def bytes_of(batch: Batch) -> bytes:
    """Return the bytes of a batch's rows."""
    rows = batch.rows
    pieces = rows.to_batches() if isinstance(rows, pa.Table) else [] if rows is None else [rows]
    return b"".join(piece.serialize().to_pybytes() for piece in pieces)


def printed_rows(journal: Path, without: frozenset[str] = frozenset()) -> dict[str, list[str]]:
    """Return the durable rows of each stream in order, epochs aside: another run may have another."""
    left_out = {COMMIT_TS, *without}
    found: dict[str, list[str]] = {}
    for entry in entries(journal):
        for row in entry.rows.to_pylist() if entry.rows is not None else ():
            kept = {name: value for name, value in row.items() if name not in left_out}
            told = repr({**kept, SEQ: unpack_seq(row[SEQ])[1:]})
            found.setdefault(str(entry.stream), []).append(told)
    return found
