"""Drives the source as an engine would, without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cdc_harness import Harness

from etl_pglib.testing import Database


@pytest.fixture
def cdc(pg: Database) -> Iterator[Callable[..., Harness]]:
    """A function that makes a harness on the test's database; it takes the source's settings."""
    made: list[Harness] = []

    def make(*tables: str, **settings: Any) -> Harness:
        made.append(Harness(pg.dsn, list(tables) or ["public.*"], **settings))
        return made[-1]

    yield make
    for harness in made:
        harness.close()
