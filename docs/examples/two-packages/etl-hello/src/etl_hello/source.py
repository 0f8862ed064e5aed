import pyarrow as pa

from etl_core import Batch, Source, Stream, StreamInfo

GREETINGS = Stream("", "greetings")
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


class Hello(Source):
    def __init__(self, config):
        self.count = config.count

    def streams(self, ctx):
        return [StreamInfo(GREETINGS, SCHEMA)]

    def read(self, ctx, resume, until=None):
        for n in range(resume or 0, self.count):
            rows = pa.record_batch([[n], [f"hello {n}"]], schema=SCHEMA)
            yield Batch.of(GREETINGS, rows, position=n + 1)
