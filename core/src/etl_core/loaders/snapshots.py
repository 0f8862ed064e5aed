"""What every loader needs: which streams are inside a snapshot, and how far rows reach."""

from __future__ import annotations

from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.model import SEQ, Batch, Kind, Step, Stream

__all__ = ["Snapshots", "highest_seq", "rows_of"]


class Snapshots:
    """Remembers the streams that are between SNAPSHOT_BEGIN and SNAPSHOT_END."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()

    def step(self, batch: Batch) -> Step | None:
        """Return the step that a batch of rows or a snapshot marker is; None outside snapshots."""
        stream = cast("Stream", batch.stream)
        if batch.kind is Kind.SNAPSHOT_BEGIN:
            self._open.add(stream)
            return Step.BEGIN
        if batch.kind is Kind.SNAPSHOT_END:
            self._open.discard(stream)
            return Step.END
        return Step.ROWS if stream in self._open else None


def highest_seq(rows: pa.Table) -> bytes | None:
    """Return the highest `_etl_seq`; None when no row has one."""
    seqs = rows.column(SEQ)
    if seqs.null_count == len(seqs):
        return None
    last = (seqs.drop_null() if seqs.null_count else seqs)[-1]
    if pc.any(pc.greater(seqs, last)).as_py():  # rows come in order, and comparing is cheaper than a maximum
        last = pc.max(seqs)
    return cast("bytes", last.as_py())


def rows_of(batch: Batch) -> pa.Table:
    """Return a batch's rows as a table, without copying."""
    rows = batch.rows
    return pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
