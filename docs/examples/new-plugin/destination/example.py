"""Runs a small pipeline with it: `python example.py`."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from etl_core import Batch, Context, Pipeline, Source, Stream, StreamInfo

from etl_acme.config import AcmeConfig
from etl_acme.destination import AcmeDestination


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


directory = Path("example")
directory.mkdir(exist_ok=True)
config = AcmeConfig(directory)
result = Pipeline("example", Fruits(), AcmeDestination(config)).run()
print(result.counts.records_written, "rows in", *sorted(file.name for file in directory.iterdir()))
