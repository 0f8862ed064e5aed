"""The model: names of streams, sequences, positions, batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.errors import ConfigError
from etl_core.events import EVENTS, Event
from etl_core.model import Batch, Kind, Position, Stream, pack_seq, unpack_seq

names = st.text(min_size=1, max_size=8)
u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
parts = st.tuples(u32, u64, u64)


@pytest.mark.parametrize(
    ("text", "stream"),
    [
        ("orders", Stream("", "orders")),
        ("public.orders", Stream("public", "orders")),
        ('"a.b".c', Stream("a.b", "c")),
        ('"say ""hi""".x', Stream('say "hi"', "x")),
        ("Public.Orders", Stream("Public", "Orders")),
    ],
)
def test_streams_are_read_as_postgresql_writes_them(text: str, stream: Stream) -> None:
    assert Stream.parse(text) == stream


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a.b.c", '"a', 'a"b', '""', 'a."b"c'])
def test_what_is_no_stream(text: str) -> None:
    with pytest.raises(ConfigError, match="not a stream name"):
        Stream.parse(text)


@given(st.builds(Stream, st.just("") | names, names))
def test_a_streams_text_reads_back(stream: Stream) -> None:
    assert Stream.parse(str(stream)) == stream


@given(parts, parts)
def test_sequences_order_as_their_parts_do(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert unpack_seq(pack_seq(*one)) == one
    assert len(pack_seq(*one)) == 20
    assert (pack_seq(*one) < pack_seq(*other)) == (one < other)


@pytest.mark.parametrize("one", [(2**32, 0, 0), (0, 2**64, 0), (0, 0, 2**64), (-1, 0, 0)])
def test_what_does_not_fit_a_sequence_is_refused(one: tuple[int, int, int]) -> None:
    with pytest.raises(OverflowError):
        pack_seq(*one)


def test_a_progress_carries_a_position_only() -> None:
    batch = Batch.progress({"lsn": "0/1"})
    assert (batch.kind, batch.stream, batch.rows, batch.complete) == (Kind.PROGRESS, None, None, True)


@given(u32, u64, st.booleans())
def test_positions_travel_as_json(epoch: int, n: int, complete: bool) -> None:
    position = Position(epoch, n, {"lsn": "0/1"}, complete)
    assert Position.from_json(position.to_json()) == position
    assert position.order == (epoch, n)


def test_an_event_as_json_is_flat() -> None:
    event = Event("committed", "shop", 1.5, {"n": 3})
    assert event.name in EVENTS
    assert event.to_json() == {"event": "committed", "pipeline": "shop", "at": 1.5, "n": 3}
