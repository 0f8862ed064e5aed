"""`append`: a history of every change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, cast

import pyarrow as pa

from etl_core.interfaces import Loader
from etl_core.loaders.config import AppendConfig
from etl_core.loaders.snapshots import Snapshots, highest_seq, rows_of
from etl_core.model import OLD_KEY, Batch, Kind, Mode, Stream, TableSchema, Write
from etl_core.schema import key_of, reserved_schema

__all__ = ["Append"]


class Append(Loader):
    """Adds each row with its reserved columns; never changes or removes one.

    Data columns are nullable whatever the source says: a delete carries its key only. A stream without
    a key has no `_etl_old_key`. A truncate leaves the history as it is.
    """

    needs: ClassVar[frozenset[Mode]] = frozenset({Mode.APPEND})

    def __init__(self, config: AppendConfig | None = None) -> None:
        self._snapshots = Snapshots()

    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        """Return the stream's columns, all nullable but the key, and the reserved columns."""
        key = key_of(schema)
        columns = pa.schema([field.with_nullable(field.name not in key) for field in schema])
        control = [field for field in reserved_schema(schema, key) if key or field.name != OLD_KEY]
        return TableSchema(stream, columns, key, pa.schema(control))

    def plan(self, batch: Batch) -> Iterator[Write]:
        """Pass rows and snapshot markers on; a truncate makes no write."""
        if batch.kind is Kind.TRUNCATE:
            return
        stream, step = cast("Stream", batch.stream), self._snapshots.step(batch)
        if batch.kind is not Kind.ROWS:
            yield Write(stream, Mode.APPEND, step=step, seq=batch.seq)
            return
        rows = _without_empty_key(rows_of(batch))
        yield Write(stream, Mode.APPEND, rows, step, highest_seq(rows))


def _without_empty_key(rows: pa.Table) -> pa.Table:
    has_key = rows.schema.field(OLD_KEY).type.num_fields > 0
    return rows if has_key else rows.drop_columns([OLD_KEY])
