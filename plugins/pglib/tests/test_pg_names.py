"""Names in SQL and in documents: whatever a table is called, SQL means that table."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_core import Secret, Stream
from etl_core.errors import ConfigError
from etl_pglib.client import connect
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.names import parse_name, quote_ident, quote_literal, quote_stream

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("text", "stream"),
    [
        ("public.orders", Stream("public", "orders")),
        ("Shop.Orders", Stream("shop", "orders")),
        ("orders", Stream("public", "orders")),
        (' "Shop"."a.b" ', Stream("Shop", "a.b")),
        ('s."say ""hi"""', Stream("s", 'say "hi"')),
        ("É.ÄB", Stream("É", "Äb")),
    ],
)
def test_a_name_is_read_as_postgresql_reads_it(text: str, stream: Stream) -> None:
    assert parse_name(text) == stream


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a.b.c", 'a."b', "a b", 'a."b"c', '""', "a..b"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a table name") as raised:
        parse_name(text)
    assert raised.value.facts["found"] == text


@given(TEXT, TEXT)
def test_a_quoted_stream_is_read_back(namespace: str, name: str) -> None:
    stream = Stream(namespace, name)
    assert parse_name(quote_stream(stream)) == stream
    assert parse_name(quote_stream(Stream("", name)), "s") == Stream("s", name)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXT, text=TEXT)
def test_the_server_sees_what_was_quoted(pg_server: EmbeddedPostgres, name: str, text: str) -> None:
    with connect(Secret(pg_server.dsn), application_name="test") as connection:
        row = connection.execute(f"SELECT {quote_literal(text)} AS {quote_ident(name)}".encode())
        assert row.fetchall() == [(text,)]
        assert row.description
        assert row.description[0].name == name
