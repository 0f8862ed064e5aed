"""ADBC's PostgreSQL driver: a stream of Arrow batches into one Parquet file."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def work(options: dict[str, Any], timer: Any) -> dict[str, Any]:
    adbc = import_module("adbc_driver_postgresql.dbapi")
    pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")
    with adbc.connect(options["dsn"]) as connection, connection.cursor() as cursor:
        timer.start()
        for table in options["tables"]:
            cursor.execute(f"SELECT * FROM {table}")
            reader = cursor.fetch_record_batch()
            plain = pa.schema([(field.name, _storage(pa, field.type)) for field in reader.schema])
            with pq.ParquetWriter(f"{options['output']}/{table}.parquet", plain) as writer:
                for batch in reader:
                    writer.write_batch(pa.record_batch([_values(pa, one) for one in batch.columns], plain))
    return {"version": import_module("importlib.metadata").version("adbc-driver-postgresql")}


def _storage(pa: Any, kind: Any) -> Any:
    """Parquet has no opaque type: a numeric is text."""
    return kind.storage_type if isinstance(kind, pa.OpaqueType) else kind


def _values(pa: Any, values: Any) -> Any:
    return values.storage if isinstance(values.type, pa.OpaqueType) else values
