"""`upsert`: a mirror of the source's rows, by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, cast

import pyarrow as pa
import pyarrow.compute as pc

from etl_core.errors import ConfigError, SchemaError
from etl_core.interfaces import Loader
from etl_core.loaders.config import UpsertConfig
from etl_core.loaders.fold import fold
from etl_core.loaders.keys import arrays_of
from etl_core.loaders.snapshots import Snapshots, highest_seq, rows_of
from etl_core.model import COMMIT_TS, DELETED, OLD_KEY, OP, SEQ, Batch, Kind, Mode, Stream, TableSchema, Write
from etl_core.schema import COMMIT_TS_TYPE, OP_TYPE, SEQ_TYPE, key_of, old_key_type

__all__ = ["Upsert"]

_ADDING = pa.array(["r", "i"], OP_TYPE)


class Upsert(Loader):
    """Merges changes by key; a batch becomes one write, or several in order where one cannot say it.

    Control columns: `_etl_deleted` with `delete: soft`, `_etl_seq` and `_etl_commit_ts` of the row's last
    change with `metadata: true`. A truncate empties the table, also under `delete: soft`.
    """

    needs: ClassVar[frozenset[Mode]] = frozenset({Mode.MERGE, Mode.TRUNCATE})

    def __init__(self, config: UpsertConfig | None = None) -> None:
        config = config or UpsertConfig()
        self._soft = config.delete == "soft"
        self._metadata = config.metadata
        self._keys = _by_stream(config.keys)
        self._snapshots = Snapshots()
        self._key_types: dict[Stream, pa.StructType] = {}

    def schema(self, stream: Stream, schema: pa.Schema) -> TableSchema:
        """Return the stream's columns and its key. Raises ConfigError when there is no key."""
        key = self._key(stream, schema)
        self._key_types[stream] = old_key_type(schema, key)
        return TableSchema(stream, schema, key, pa.schema(self._control()))

    def plan(self, batch: Batch) -> Iterator[Write]:
        """Fold rows to at most one per key and write; pass markers on."""
        stream = cast("Stream", batch.stream)
        if batch.kind is Kind.TRUNCATE:
            yield Write(stream, Mode.TRUNCATE, seq=batch.seq)
            return
        step = self._snapshots.step(batch)
        if batch.kind is not Kind.ROWS:
            yield Write(stream, Mode.MERGE, step=step, seq=batch.seq)
            return
        key_type = self._key_types[stream]
        rows = _with_old_key(rows_of(batch), key_type, stream)
        for folded in fold(rows, [field.name for field in key_type], soft=self._soft):
            yield Write(stream, Mode.MERGE, folded, step, highest_seq(folded))

    def _control(self) -> Sequence[pa.Field]:
        deleted = [pa.field(DELETED, pa.bool_())] if self._soft else []
        metadata = [pa.field(SEQ, SEQ_TYPE), pa.field(COMMIT_TS, COMMIT_TS_TYPE)] if self._metadata else []
        return [*deleted, *metadata]

    def _key(self, stream: Stream, schema: pa.Schema) -> tuple[str, ...]:
        key = self._keys.get(str(stream), self._keys.get(None)) or key_of(schema)
        if not key:
            raise ConfigError(
                "upsert needs a key, and the stream has none",
                "give the table a primary key, or name columns under load: `keys: {STREAM: [COLUMN]}`",
                stream=str(stream),
            )
        if missing := [name for name in key if name not in schema.names]:
            raise ConfigError(
                "a key column is not in the stream",
                f"columns are: {', '.join(schema.names)}",
                stream=str(stream),
                column=missing[0],
            )
        return tuple(key)


def _by_stream(keys: Mapping[str, Sequence[str]] | Sequence[str]) -> Mapping[str | None, Sequence[str]]:
    """Return the setting by stream; None stands for every stream."""
    if isinstance(keys, Mapping):
        return {str(Stream.parse(stream)): tuple(columns) for stream, columns in keys.items()}
    return {None: tuple(keys)}


def _with_old_key(rows: pa.Table, key_type: pa.StructType, stream: Stream) -> pa.Table:
    """Return `rows` with `_etl_old_key` made of the mirror's key columns.

    The source's may have more fields. Where it lacks one, changes and deletes cannot be told apart by
    the mirror's key, so that only inserts and snapshots are possible.
    """
    old = rows.column(OLD_KEY)
    if old.type == key_type:
        return rows
    if all(old.type.get_field_index(field.name) >= 0 for field in key_type):
        wanted = _project(arrays_of(old), key_type)
    elif pc.all(pc.is_in(rows.column(OP), _ADDING)).as_py():
        wanted = pa.nulls(rows.num_rows, key_type)
    else:
        raise SchemaError(
            "the source does not send the old values of the mirror's key",
            "name columns that the source's key contains under `keys`, or use REPLICA IDENTITY FULL",
            stream=str(stream),
        )
    return rows.set_column(rows.schema.get_field_index(OLD_KEY), pa.field(OLD_KEY, key_type), wanted)


def _project(old: pa.StructArray, key_type: pa.StructType) -> pa.StructArray:
    children = [old.field(field.name) for field in key_type]
    return pa.StructArray.from_arrays(children, fields=list(key_type), mask=old.is_null())
