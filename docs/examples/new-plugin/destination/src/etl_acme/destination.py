"""Adds Arrow files to a directory, whose names say stream and position: at least once."""

import os
from urllib.parse import quote

from etl_core import Destination, Position, Write
from pyarrow import Table, feather

from etl_acme.config import AcmeConfig


class AcmeDestination(Destination):
    def __init__(self, config: AcmeConfig) -> None:
        self.directory = config.directory
        self.accepted: list[tuple[str, Table]] = []

    def write(self, write: Write) -> None:
        self.accepted.append((quote(str(write.stream), safe=""), write.rows))

    def flush(self, position: Position) -> None:
        for number, (stream, rows) in enumerate(self.accepted):
            path = self.directory / f"{stream}@{position.epoch:010}-{position.n:012}-{number:04}.arrow"
            with path.with_suffix(".part").open("wb") as file:
                feather.write_feather(rows, file)
                file.flush()
                os.fsync(file.fileno())
            path.with_suffix(".part").rename(path)
        os.fsync(directory := os.open(self.directory, os.O_RDONLY))
        os.close(directory)
        self.accepted.clear()

    def abort(self) -> None:
        self.accepted.clear()
