from pathlib import Path

from etl_hello.config import HelloConfig, LinesConfig
from etl_hello.destination import Lines
from etl_hello.source import Hello

from etl_core import Pipeline, PipelineManager

manager = PipelineManager(workers=2)
for count in (1, 2, 3):
    target = Lines(LinesConfig(path=Path(f"greetings-{count}.jsonl")))
    manager.add_pipeline(Pipeline(f"hello-{count}", Hello(HelloConfig(count=count)), target))

for name, outcome in sorted(manager.run_all().items()):
    print(name, outcome.result.counts.records_written)
