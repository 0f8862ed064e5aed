from pathlib import Path

from etl_hello.config import HelloConfig
from etl_hello.source import Hello

from etl_core import Pipeline
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.destination import DuckDBDestination

destination = DuckDBDestination(DuckDBConfig(path=Path("greetings.duckdb")))
result = Pipeline("hello", Hello(HelloConfig(count=5)), destination).run()
print(result.counts.records_written, "rows in", round(result.total, 2), "s")
