import pyarrow as pa

from etl_core import Batch, Source, Stream, StreamInfo
from etl_core.errors import PositionLostError

GREETINGS = Stream("", "greetings")
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


class Hello(Source):
    def __init__(self, config):
        self.count = config.count

    def streams(self, ctx):
        return [StreamInfo(GREETINGS, SCHEMA)]

    def read(self, ctx, resume, until=None):
        if resume is not None and resume not in range(self.count + 1):
            raise PositionLostError("there are not as many greetings", count=self.count)
        for n in range(resume or 0, self.count):
            rows = pa.record_batch([[n], [f"hello {n}"]], schema=SCHEMA)
            yield Batch.of(GREETINGS, rows, position=n + 1)
