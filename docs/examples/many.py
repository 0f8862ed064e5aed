from pathlib import Path

from etl_hello.config import HelloConfig
from etl_hello.source import Hello

from etl_core import Pipeline, PipelineManager
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.destination import DuckDBDestination

manager = PipelineManager(workers=2)
for count in (1, 2, 3):
    target = DuckDBDestination(DuckDBConfig(path=Path(f"greetings-{count}.duckdb")))
    manager.add_pipeline(Pipeline(f"hello-{count}", Hello(HelloConfig(count=count)), target))

for name, outcome in sorted(manager.run_all().items()):
    print(name, outcome.result.counts.records_written)
