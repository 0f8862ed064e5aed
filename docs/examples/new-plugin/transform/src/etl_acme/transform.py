"""Hides the values of some columns: `***` takes their place, and null stays null."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from etl_core import Context, Stream, Transform

from etl_acme.config import AcmeConfig

HIDDEN, NULL = pa.scalar("***"), pa.scalar(None, pa.string())


class AcmeTransform(Transform):
    """Columns of any type become text; those that a stream does not have are none of its business."""

    def __init__(self, config: AcmeConfig) -> None:
        self.columns = config.columns

    def schema(self, stream: Stream, schema: pa.Schema) -> pa.Schema:
        fields = [each.with_type(pa.string()) if each.name in self.columns else each for each in schema]
        return pa.schema(fields, metadata=schema.metadata)

    def inputs(self, stream: Stream) -> Mapping[str | None, Sequence[str]]:
        return {None: [], **{name: [name] for name in self.columns}}

    def apply(self, ctx: Context, stream: Stream, rows: pa.RecordBatch) -> pa.RecordBatch:
        arrays = [self._hidden(rows, name) for name in rows.schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema(stream, rows.schema))

    def _hidden(self, rows: pa.RecordBatch, name: str) -> pa.Array:
        values = rows.column(name)
        return pc.if_else(values.is_valid(), HIDDEN, NULL) if name in self.columns else values
