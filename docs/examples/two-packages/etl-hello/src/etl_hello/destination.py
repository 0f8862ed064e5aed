import json
import os

from etl_core import Destination, data_columns


class Lines(Destination):
    def __init__(self, config):
        self.path = config.path
        self.accepted = []

    def write(self, write):
        columns = data_columns(write.rows.schema).names
        self.accepted += write.rows.select(columns).to_pylist()

    def flush(self, position):
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in self.accepted)
            file.flush()
            os.fsync(file.fileno())
        self.accepted.clear()

    def abort(self):
        self.accepted.clear()
