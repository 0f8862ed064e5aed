"""What a document may say, and how a plugin looks before it is used."""

from __future__ import annotations

import subprocess
import sys

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core import Secret, Stream
from etl_postgres_cdc.config import PostgresCdc, default_name
from etl_postgres_cdc.plugin import etl_register_extract
from etl_postgres_cdc.position import format_lsn, parse_lsn
from etl_postgres_cdc.tables import Selection


def test_looking_at_the_plugin_loads_neither_arrow_nor_psycopg() -> None:
    code = (
        "import sys, etl_postgres_cdc.plugin as p; p.etl_register_extract();"
        "print([m for m in ('pyarrow', 'psycopg', 'etl_pglib.client') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_it_registers_one_source() -> None:
    (registration,) = etl_register_extract()
    assert (registration.name, registration.config) == ("postgres-cdc", PostgresCdc)


def test_every_setting_has_a_sentence() -> None:
    assert all(field.metadata["help"].endswith(".") for field in attrs.fields(PostgresCdc))


@pytest.mark.parametrize("settings", [{"slot": "Has-Dash"}, {"tables": []}, {"snapshot_readers": 0}])
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"slot|table|>="):
        PostgresCdc(**{"dsn": Secret("x"), "tables": ["t"], **settings})  # type: ignore[arg-type]


@given(st.text(min_size=1))
def test_a_pipelines_default_name_is_a_slots_name(pipeline: str) -> None:
    name = default_name(pipeline)
    assert len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


@pytest.mark.parametrize("others", [("a-b", "a_b", "a.b", "A_B"), ("x" * 60, "x" * 61), ("x" * 59, "x" * 64)])
def test_pipelines_that_look_alike_have_names_of_their_own(others: tuple[str, ...]) -> None:
    assert len({default_name(pipeline) for pipeline in others}) == len(others)
    assert default_name("shop_1") == "etl_shop_1"


@given(st.integers(0, 2**64 - 1))
def test_an_lsn_is_read_as_it_is_written(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn


def test_patterns_take_names_as_they_are_quoted() -> None:
    selection = Selection(("public.*", '"My App"."Order?"'))
    assert selection(Stream("public", "orders"))
    assert selection(Stream("public", "Orders"))
    assert selection(Stream("My App", "Orders"))
    assert not selection(Stream("My App", "orders"))
    assert not selection(Stream("other", "public"))


def test_a_name_with_wildcards_in_it_stands_for_itself() -> None:
    odd = Stream("public", "a[1]")
    selection = Selection((str(odd),))
    assert selection(odd)
    assert selection.problems([odd], "here") == []


def test_a_pattern_for_tables_to_come_is_no_problem() -> None:
    found = [Stream("public", "orders")]
    assert Selection(("public.orders", "later.*")).problems(found, "here") == []
    assert len(Selection(("public.orders", "public.order")).problems(found, "here")) == 1
    assert len(Selection(("later.*",)).problems(found, "here")) == 1
