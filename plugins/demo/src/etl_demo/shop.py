"""The shop: its tables, the rows it opens with, and the document of the pipeline that copies it."""

from __future__ import annotations

from importlib.resources import files

from etl_pglib.client import Connection

__all__ = ["DATABASE", "count", "create", "document"]

DATABASE = "shop"

_DOCUMENT = """\
# Everything this pipeline needs; run it with:  etl-core run shop.yaml
version: 1
pipeline: shop
extract:
  use: postgres-cdc
  dsn: {dsn}
  tables: ["public.*"]
load:
  use: upsert
  batch: {{max_wait: 200ms}}
  commit: {{max_wait: 200ms}}
destination:
  use: duckdb
  path: shop.duckdb
state:
  use: sqlite
  path: .etl/state.db
"""


def create(connection: Connection, rows: int) -> None:
    """Create the tables with about `rows` rows, three quarters of them orders and their items."""
    counts = {"customers": rows // 10, "products": rows // 40, "orders": rows // 4}
    script = _script("tables.sql") + _script("rows.sql")
    for name, count in counts.items():
        script = script.replace(f":{name}", str(max(1, count)))
    connection.execute(script.encode())


def _script(name: str) -> str:
    return files("etl_demo").joinpath(name).read_text(encoding="utf-8")


def count(connection: Connection) -> int:
    """Return how many rows all tables have."""
    tables = connection.execute(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public'"
    ).fetchall()
    counts = (connection.execute(f"SELECT count(*) FROM {table}".encode()) for (table,) in tables)
    return sum(int(found.fetchall()[0][0]) for found in counts)


def document(dsn: str) -> str:
    """Return the pipeline's document."""
    return _DOCUMENT.format(dsn=dsn)
