from pathlib import Path

from etl_hello.config import HelloConfig, LinesConfig
from etl_hello.destination import Lines
from etl_hello.source import Hello

from etl_core import Pipeline

pipeline = Pipeline("hello", Hello(HelloConfig(count=5)), Lines(LinesConfig(path=Path("greetings.jsonl"))))
result = pipeline.run()
print(result.counts.records_written, "rows in", round(result.total, 2), "s")
