"""A source with a mistake, held to the kit: python forgetful.py."""

import pyarrow as pa
from attrs import frozen

from etl_core import Batch, Registration, Source, Stream, StreamInfo
from etl_core.testing import SourceConformance
from etl_core.testing.clauses import run

NUMBERS = Stream("", "numbers")
SCHEMA = pa.schema([("n", pa.int64())])


@frozen
class ForgetfulConfig:
    """Nothing to set."""


class Forgetful(Source):
    def __init__(self, config):
        self.at = 0

    def streams(self, ctx):
        return [StreamInfo(NUMBERS, SCHEMA)]

    def read(self, ctx, resume, until=None):
        while self.at < 10:  # the mistake: where it is comes from an attribute, not from `resume`
            self.at += 1
            yield Batch.of(NUMBERS, pa.record_batch([[self.at]], schema=SCHEMA), position=self.at)


class ForgetfulConformance(SourceConformance):
    registration = Registration("forgetful", ForgetfulConfig, Forgetful, "Ten numbers.", api=1)


if __name__ == "__main__":
    for outcome in run(ForgetfulConformance, only=["it_can_be_used", "every_position_gives_the_rest"]):
        print(outcome.verdict, outcome.clause.name)
        if outcome.reason:
            print("  promise:", outcome.clause.promise)
            print("  found:", outcome.reason)
