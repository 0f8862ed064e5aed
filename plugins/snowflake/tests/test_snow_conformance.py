"""The destination keeps what every destination promises."""

from __future__ import annotations

import pytest

from etl_snowflake.conformance import Snowflake


class TestSnowflake(Snowflake):
    """Every clause, a sample of its cases."""

    seeds = (1,)
    large = 20_000


# Clauses that kill a process at each of many places, and more of what is drawn at random.
@pytest.mark.slow
@pytest.mark.timeout(900)
class TestSnowflakeThroughout(Snowflake):
    """Every clause, with all its cases."""

    thorough = True
