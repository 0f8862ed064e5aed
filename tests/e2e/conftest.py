"""Fixtures of the end-to-end tests: the shop against a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.shop import Shop


@pytest.fixture
def shop(pg: Any, tmp_path: Path) -> Shop:
    """A shop with 100 orders and its document, mirrored with `upsert`."""
    return Shop(pg, tmp_path).create()
