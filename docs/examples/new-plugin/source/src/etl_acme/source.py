"""Reads the CSV files of a directory in the order of their names; a position is the last name read."""

from collections.abc import Iterator

from etl_core import Batch, Context, PositionLostError, Source, Stream, StreamInfo
from pyarrow import csv, schema

from etl_acme.config import AcmeConfig

ORDERS = StreamInfo(Stream("", "orders"), schema([("id", "int64"), ("item", "string")]))
COLUMNS = csv.ConvertOptions(column_types=ORDERS.schema, include_columns=ORDERS.schema.names)


class AcmeSource(Source):
    def __init__(self, config: AcmeConfig) -> None:
        self.directory = config.directory

    def streams(self, ctx: Context) -> list[StreamInfo]:
        return [ORDERS]

    def read(self, ctx: Context, resume: str | None, until: object = None) -> Iterator[Batch]:
        files = sorted(self.directory.glob("[!.]*.csv"))
        if resume is not None and resume not in [file.name for file in files]:
            raise PositionLostError("the last file that was read is no longer there", file=resume)
        for file in files[files.index(self.directory / resume) + 1 if resume else 0 :]:
            for rows in csv.open_csv(file, None, csv.ParseOptions(newlines_in_values=True), COLUMNS):
                yield Batch.of(ORDERS.stream, rows)
            yield Batch.progress(file.name)
