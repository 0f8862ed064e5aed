import json
import os
from pathlib import Path

from attrs import frozen

from etl_core import Destination, Registration, hookimpl, setting


@frozen
class LinesConfig:
    path: Path = setting(help="The file that rows are added to.")


class Lines(Destination):
    def __init__(self, config):
        self.path = config.path
        self.accepted = []

    def write(self, write):
        self.accepted += write.rows.select(["n", "text"]).to_pylist()

    def flush(self, position):
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in self.accepted)
            file.flush()
            os.fsync(file.fileno())
        self.accepted.clear()

    def abort(self):
        self.accepted.clear()


@hookimpl
def etl_register_destination():
    return [Registration("lines", LinesConfig, Lines, "JSON lines, at least once.")]
