"""`replace`: the table is the snapshot of this run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.errors import ConfigError
from etl_core.interfaces import Loader
from etl_core.loaders.config import ReplaceConfig
from etl_core.loaders.snapshots import Snapshots, highest_seq, rows_of
from etl_core.model import OP, RESERVED, Batch, Kind, Mode, Step, Stream, TableSchema, Write
from etl_core.schema import OP_TYPE, key_of

__all__ = ["Replace"]

_READ = pa.scalar("r", OP_TYPE)


class Replace(Loader):
    """Takes snapshots only; the rows of one become the whole table at its end."""

    needs: ClassVar[frozenset[Mode]] = frozenset({Mode.REPLACE})
    snapshot_only: ClassVar[bool] = True

    def __init__(self, config: ReplaceConfig | None = None) -> None:
        self._snapshots = Snapshots()

    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        """Return the stream's columns as they are."""
        return TableSchema(stream, schema, key_of(schema))

    def plan(self, batch: Batch) -> Iterator[Write]:
        """Pass the snapshot on. Raises ConfigError for a change, which has no place in it."""
        stream, step = cast("Stream", batch.stream), self._snapshots.step(batch)
        if batch.kind is Kind.TRUNCATE or step is None:
            raise _not_a_snapshot(stream)
        if step is not Step.ROWS:
            yield Write(stream, Mode.REPLACE, step=step, seq=batch.seq)
            return
        rows = rows_of(batch)
        if not pc.all(pc.equal(rows.column(OP), _READ), min_count=0).as_py():
            raise _not_a_snapshot(stream)
        data = rows.drop_columns([name for name in RESERVED if name in rows.column_names])
        yield Write(stream, Mode.REPLACE, data, step, highest_seq(rows))


def _not_a_snapshot(stream: Stream) -> ConfigError:
    return ConfigError(
        "replace takes snapshots only, but the source sends changes",
        "set `snapshot: only` under extract, or use upsert or append",
        stream=str(stream),
    )
