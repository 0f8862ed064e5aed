import pyarrow as pa
from attrs import frozen

from etl_core import Batch, Registration, Source, Stream, StreamInfo, hookimpl, setting

GREETINGS = Stream("", "greetings")
SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])


@frozen
class HelloConfig:
    count: int = setting(3, help="How many greetings.")


class Hello(Source):
    def __init__(self, config):
        self.count = config.count

    def streams(self, ctx):
        return [StreamInfo(GREETINGS, SCHEMA)]

    def read(self, ctx, resume, until=None):
        for n in range(resume or 0, self.count):
            rows = pa.record_batch([[n], [f"hello {n}"]], schema=SCHEMA)
            yield Batch.of(GREETINGS, rows, position=n + 1)


@hookimpl
def etl_register_extract():
    return [Registration("hello", HelloConfig, Hello, "Greetings, numbered.")]
