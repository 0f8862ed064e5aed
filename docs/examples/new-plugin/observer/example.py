"""Runs a small pipeline with it: `python example.py`."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from etl_core import Batch, Context, Destination, Pipeline, Position, Source, Stream, StreamInfo, Write

from etl_acme.config import AcmeConfig
from etl_acme.observer import AcmeObserver


class Fruits(Source):
    """Three rows."""

    stream = Stream("", "fruits")
    schema = pa.schema([("id", pa.int64()), ("item", pa.string())])

    def streams(self, ctx: Context) -> list[StreamInfo]:
        return [StreamInfo(self.stream, self.schema)]

    def read(self, ctx: Context, resume: int | None, until: object = None) -> Iterator[Batch]:
        for n in range(resume or 0, 3):
            rows = pa.record_batch([[n], [["apple", "pear", "plum"][n]]], schema=self.schema)
            yield Batch.of(self.stream, rows, position=n + 1)


class Printed(Destination):
    """Prints what it is given."""

    def write(self, write: Write) -> None:
        for row in write.rows.to_pylist() if write.rows else []:
            print({name: value for name, value in row.items() if value is not None})

    def flush(self, position: Position) -> None:
        print("durable up to", position.value)


events = Path("events.jsonl")
observer = AcmeObserver(AcmeConfig(events))
Pipeline("example", Fruits(), Printed(), observers=[("acme", observer)]).run()
print(events.read_text(encoding="utf-8"), end="")
