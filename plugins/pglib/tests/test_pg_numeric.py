"""Numbers with a declared precision: what the server stores for a type is what its decimal holds."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl_core import Secret
from etl_pglib.client import Connection, connect
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.numeric import cast, decimal_type


@pytest.fixture
def connection(pg_server: EmbeddedPostgres) -> Iterator[Connection]:
    with connect(Secret(pg_server.dsn), application_name="test") as connection:
        yield connection


PRECISIONS = st.integers(1, 80) | st.integers(1, 1000)
SCALES = st.integers(-90, 90) | st.integers(-1000, 1000)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(precision=PRECISIONS, scale=SCALES, digits=st.integers(0, 10**80), negative=st.booleans())
@example(precision=38, scale=0, digits=10**38 - 1, negative=True)
@example(precision=39, scale=39, digits=10**39 - 1, negative=False)
@example(precision=76, scale=-0, digits=10**76 - 1, negative=True)
@example(precision=2, scale=-74, digits=99, negative=False)
@example(precision=1, scale=76, digits=9, negative=True)
@example(precision=1, scale=77, digits=9, negative=True)
def test_every_declared_numeric(
    connection: Connection, precision: int, scale: int, digits: int, negative: bool
) -> None:
    value = f"{'-' if negative else ''}{digits % 10**precision}e{-scale}"
    row = connection.execute(
        "SELECT numerictypmodin(ARRAY[%s, %s]::cstring[]), "
        f"COALESCE(%s::numeric({precision},{scale})::text, '')".encode(),
        [str(precision), str(scale), value],
    ).fetchone()
    assert row
    typmod, text = row
    arrow = decimal_type(typmod)
    if arrow is None:
        assert max(precision - min(scale, 0), scale) > 76
        return
    array = cast([text, None], arrow)
    array.validate(full=True)
    assert array.to_pylist() == [Decimal(text), None]
    assert (arrow.bit_width == 128) == (arrow.precision <= 38)


def test_a_numeric_without_precision_has_no_decimal() -> None:
    assert decimal_type(-1) is None
    assert decimal_type((10 << 16 | 2) + 4) == pa.decimal128(10, 2)
