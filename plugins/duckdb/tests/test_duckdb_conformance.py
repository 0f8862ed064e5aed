"""The destination keeps what every destination promises."""

from __future__ import annotations

import pytest

from etl_duckdb.conformance import DuckDB


class TestDuckDB(DuckDB):
    """Every clause, a sample of its cases."""


# A clause that kills a process at each place of every loader takes minutes.
@pytest.mark.slow
@pytest.mark.timeout(600)
class TestDuckDBThroughout(DuckDB):
    """Every clause, with all its cases."""

    thorough = True
