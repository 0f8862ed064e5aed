"""A history with the day of each change, to partition tables by."""

from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from etl_core import (
    COMMIT_TS,
    OLD_KEY,
    SEQ,
    Batch,
    Kind,
    Loader,
    Mode,
    Step,
    Stream,
    TableSchema,
    Write,
    key_of,
    reserved_schema,
)

from etl_acme.config import AcmeConfig

DAY = pa.field("_etl_day", pa.date32())


class AcmeLoader(Loader):
    """Adds every change as a row, with its reserved columns and the day (UTC) of its commit, if it is known.

    A truncate leaves the history as it is.
    """

    needs: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})

    def __init__(self, config: AcmeConfig) -> None:
        self.snapshots: set[Stream] = set()

    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        """Data columns are nullable: a delete carries its key only."""
        key = key_of(schema)
        columns = pa.schema([each.with_nullable(each.name not in key) for each in schema])
        reserved = [each for each in reserved_schema(schema, key) if key or each.name != OLD_KEY]
        return TableSchema(stream, columns, key, pa.schema([*reserved, DAY]))

    def plan(self, batch: Batch) -> Iterator[Write]:
        if batch.stream is None or batch.kind is Kind.TRUNCATE:
            return
        step = self._step(batch.kind, batch.stream)
        if batch.kind is not Kind.ROWS:
            yield Write(batch.stream, Mode.APPEND, step=step, seq=batch.seq)
            return
        rows = _dated(batch.rows)
        yield Write(batch.stream, Mode.APPEND, rows, step, pc.max(rows.column(SEQ)).as_py())

    def _step(self, kind: Kind, stream: Stream) -> Step | None:
        """Return the part of a snapshot that a batch is; None outside of one."""
        if kind is Kind.SNAPSHOT_BEGIN:
            self.snapshots.add(stream)
            return Step.BEGIN
        if kind is Kind.SNAPSHOT_END:
            self.snapshots.discard(stream)
            return Step.END
        return Step.ROWS if stream in self.snapshots else None


def _dated(rows: pa.RecordBatch | pa.Table) -> pa.Table:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    if table.schema.field(OLD_KEY).type.num_fields == 0:  # no destination has columns without fields
        table = table.drop_columns([OLD_KEY])
    return table.append_column(DAY, table.column(COMMIT_TS).cast(DAY.type))
