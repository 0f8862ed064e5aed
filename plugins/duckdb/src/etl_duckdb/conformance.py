"""This destination under the conformance kit: what `etl-core certify duckdb` and the tests here run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from etl_core import Stream
from etl_core.testing import DestinationConformance
from etl_duckdb.client import Database
from etl_duckdb.plugin import etl_register_destination
from etl_duckdb.target import find

__all__ = ["DuckDB"]


class DuckDB(DestinationConformance):
    """A file in the clause's own directory."""

    registration = etl_register_destination()[0]
    ordered = True

    def config(self) -> Mapping[str, Any]:
        return {"path": "test.duckdb", "threads": 1}

    def read_back(self, stream: Stream) -> pa.Table | None:
        config = self.configured(self.settings)
        if not config.path.exists():
            return None
        db = Database(config, read_only=True)
        try:
            found = find(db, stream)
            return db.table(f"FROM {found.name}") if found else None
        finally:
            db.close()
