"""The destination keeps what every destination promises."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import pytest

from etl_snowflake.conformance import Snowflake


def _slow(clause: Callable[[Snowflake], None]) -> Callable[[Snowflake], None]:
    """Leave a clause to the class that tries everything."""

    @pytest.mark.slow
    @wraps(clause)
    def test(kit: Snowflake) -> None:
        clause(kit)

    return test


class TestSnowflake(Snowflake):
    """Every clause, a sample of its cases; of the families of types those of few types, and the odd ones."""

    seeds = (1,)
    large = 20_000
    test_integers = _slow(Snowflake.test_integers)
    test_decimals = _slow(Snowflake.test_decimals)
    test_dates_and_times = _slow(Snowflake.test_dates_and_times)
    test_timestamps = _slow(Snowflake.test_timestamps)
    test_lists = _slow(Snowflake.test_lists)


# Clauses that kill a process at each of many places, every family of types, more of what is random.
@pytest.mark.slow
@pytest.mark.timeout(900)
class TestSnowflakeThroughout(Snowflake):
    """Every clause, with all its cases."""

    thorough = True
