"""From a file on the command line to connectors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl_core.connectors import Connectors

__all__ = ["opened"]


@contextmanager
def opened(file: Path, *needed: str) -> Iterator[Connectors]:
    """Load and resolve a document; its state store is closed at the end.

    Where sections are named, the plugins of others need not be installed.
    """
    from etl_core.resolve import load_document, resolve

    connectors = resolve(load_document(file), needed=needed or None)
    try:
        yield connectors
    finally:
        connectors.close_state()
