"""Writes each event as a line of JSON."""

import json
from typing import TextIO

from etl_core import Event, Observer

from etl_acme.config import AcmeConfig


class AcmeObserver(Observer):
    """Opens its file at the first event, so that a run that never starts leaves none."""

    def __init__(self, config: AcmeConfig) -> None:
        self.path = config.path
        self.file: TextIO | None = None

    def on_event(self, event: Event) -> None:
        if self.file is None:
            self.file = self.path.open("a", encoding="utf-8", buffering=1)
        self.file.write(json.dumps(event.to_json(), default=str) + "\n")

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
