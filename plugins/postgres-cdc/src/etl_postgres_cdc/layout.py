"""The columns of a stream: names, types, key, and the Arrow schemas of its batches."""

from __future__ import annotations

import pyarrow as pa
from attrs import field, frozen

from etl_core import reserved_schema, with_key
from etl_pglib.types import PgType

__all__ = ["Layout"]


@frozen
class Layout:
    """A stream's columns: names, types and which of them (by index) are the key, in key order."""

    names: tuple[str, ...]
    types: tuple[PgType, ...]
    key: tuple[int, ...]
    #: Data columns, with the key in the metadata.
    schema: pa.Schema = field(init=False)
    #: Data columns and reserved columns.
    full: pa.Schema = field(init=False)

    @schema.default
    def _schema(self) -> pa.Schema:
        fields = [pa.field(name, kind.arrow) for name, kind in zip(self.names, self.types, strict=True)]
        return with_key(pa.schema(fields), self.key_names)

    @full.default
    def _full(self) -> pa.Schema:
        reserved = reserved_schema(self.schema, self.key_names)
        return pa.schema([*self.schema, *reserved], metadata=self.schema.metadata)

    @property
    def key_names(self) -> tuple[str, ...]:
        return tuple(self.names[index] for index in self.key)
