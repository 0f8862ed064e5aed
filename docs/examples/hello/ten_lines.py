from pathlib import Path

from hello import Hello, HelloConfig
from lines import Lines, LinesConfig

from etl_core import Pipeline

source = Hello(HelloConfig(count=5))
destination = Lines(LinesConfig(path=Path("greetings.jsonl")))
pipeline = Pipeline("hello", source, destination)
result = pipeline.run()
print(result.counts.records_written, "rows in", round(result.total, 2), "s")
