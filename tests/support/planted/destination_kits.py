"""The right destinations under the kit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from support.planted.destination_settings import FiledConfig
from support.planted.destinations import read, read_plain

from etl_core.hookspecs import Registration
from etl_core.model import Stream
from etl_core.testing.destination import DestinationConformance


def registered(name: str) -> Registration:
    """Return the registration of a class among the planted destinations."""
    return Registration(name.lower(), FiledConfig, f"support.planted.destinations:{name}", "Rows in a file.")


class FiledKit(DestinationConformance):
    """Keeps its position."""

    registration = registered("Filed")
    ordered = True

    def config(self) -> Mapping[str, Any]:
        return {"path": "kept", "password": "open sesame"}

    def read_back(self, stream: Stream) -> pa.Table | None:
        return read(self.configured(self.settings).path, stream)


class MarkedKit(FiledKit):
    """Keeps marks."""

    registration = registered("Marked")
    fences = True


class ChoosyKit(FiledKit):
    """Refuses a type, rows and a second opener; keeps the largest numbers as text."""

    registration = registered("Choosy")


class PlainKit(FiledKit):
    """Keeps rows, at least once."""

    registration = registered("Plain")

    def read_back(self, stream: Stream) -> pa.Table | None:
        return read_plain(self.configured(self.settings).path, stream)


class PipedKit(PlainKit):
    """Confirms marks."""

    registration = registered("Piped")
