"""Rows and routes of both decoders: few columns and many, nulls anywhere, large values, memory."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest
from decoder_driver import BOTH, COMPILED, Kind, resident, same_batches
from decoder_layouts import SAMPLES
from decoder_streams import chunks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_messages import encode, keepalive, wal

from etl_core import OLD_KEY
from etl_postgres_cdc.events import Event
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Logical,
    Message,
    Relation,
    Update,
    Values,
)


def text_layout(width: int, key: tuple[int, ...]) -> Layout:
    return Layout(tuple(f"c{number}" for number in range(width)), (SAMPLES["text"].kind,) * width, key)


def gathered(kind: Kind, layout: Layout, changes: Sequence[Message]) -> pa.RecordBatch:
    """What becomes of changes of relation 1 in one transaction."""
    decoder, rows = kind.decoder(1, 1 << 20, 1 << 30), kind.rows(layout)
    decoder.route(1, rows, 0, 0)
    decoder.feed(b"".join(wal(encode(message)) for message in [Begin(9, 0, 1), *changes, Commit(9, 10, 0)]))
    assert decoder.run() is None
    assert (decoder.rows, len(rows)) == (len(changes), len(changes))
    batch: pa.RecordBatch = rows.finish()
    batch.validate(full=True)
    assert len(rows) == 0
    return batch


def both(layout: Layout, changes: Sequence[Message]) -> pa.RecordBatch:
    found, expected = (gathered(kind, layout, changes) for kind in BOTH)
    assert same_batches([("", found)], [("", expected)])
    return found


CHANGES: dict[str, Message] = {
    "i": Insert(1, ["a", "x"]),
    "n": Insert(1, [None, None]),
    "u": Update(1, None, False, ["a", UNCHANGED]),
    "m": Update(1, ["a", None], False, ["b", UNCHANGED]),
    "0": Update(1, [None, None], False, ["b", "x"]),
    "f": Update(1, ["a", "x"], True, [UNCHANGED, UNCHANGED]),
    "d": Delete(1, ["a", None], False),
}


@settings(max_examples=200)
@given(
    st.text("iunm0fd", max_size=40)
    | st.builds(
        lambda kind, count, rest: kind * count + rest,
        st.sampled_from("inumd0"),
        st.integers(0, 70),
        st.text("inumd0", max_size=3),
    )
)
def test_nulls_unchanged_values_and_moves_anywhere_in_a_batch(kinds: str) -> None:
    """Bitmaps begin with the first row that needs them, wherever that is."""
    both(text_layout(2, (0,)), [CHANGES[kind] for kind in kinds])


@given(st.text("tfnu", max_size=70))
def test_bools_of_any_number(values: str) -> None:
    layout = Layout(("k", "b"), (SAMPLES["bool"].kind,) * 2, (0,))
    texts = {"t": "t", "f": "f", "n": None}
    changes: list[Message] = [
        Update(1, ["t", None], False, ["f", UNCHANGED]) if value == "u" else Insert(1, ["t", texts[value]])
        for value in values
    ]
    both(layout, changes)


def test_as_many_columns_as_a_table_can_have() -> None:
    width = 1600
    wide = ["v"] * width
    old: Values = [*([None] * (width - 1)), "w"]
    changes: list[Message] = [
        Insert(1, [*wide]),
        Update(1, old, False, [UNCHANGED, *wide[1:]]),
        Delete(1, old, False),
    ]
    batch = both(text_layout(width, (width - 1,)), changes)
    assert batch.num_columns == width + 5


def test_no_columns_and_columns_that_are_all_key() -> None:
    assert (
        both(text_layout(0, ()), [Insert(1, []), Update(1, None, False, []), Delete(1, [], True)]).num_rows
        == 3
    )
    both(text_layout(2, (1, 0)), [Update(1, ["a", "b"], False, ["b", "a"]), Delete(1, ["a", "b"], False)])


def test_a_column_that_is_twice_in_a_key() -> None:
    changes: list[Message] = [Update(1, ["a", None], False, ["b", None]), Delete(1, ["a", None], False)]
    found, expected = (gathered(kind, text_layout(2, (0, 0)), changes) for kind in BOTH)
    for one, other in zip(found.columns, expected.columns, strict=True):
        if one.type != found.schema.field(OLD_KEY).type:
            assert one.equals(other)
    moved = found.column(OLD_KEY)
    assert moved.is_valid().to_pylist() == [True, False]
    assert [moved.field(0)[0].as_py(), moved.field(1)[0].as_py()] == ["a", "a"]


def test_a_value_of_megabytes_that_comes_in_pieces() -> None:
    big = "x" * (20 << 20)
    messages: list[Message] = [Begin(1, 0, 1), Insert(1, [big]), Insert(1, ["y"]), Commit(1, 2, 0)]
    frames = b"".join(wal(encode(message)) for message in messages)
    decoder, rows = COMPILED.decoder(1, 100, 1 << 30), COMPILED.rows(text_layout(1, ()))
    decoder.route(1, rows, 0, 0)
    for chunk in chunks_of(frames, 300_000):
        decoder.feed(chunk)
        assert decoder.run() is None
    assert rows.finish().column(0).to_pylist() == [big, "y"]


def relation(number: int) -> bytes:
    return wal(encode(Relation(number, "public", "t", "d", ())))


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.name)
def test_thousands_of_tables_announced_again_and_again(kind: Kind) -> None:
    decoder = kind.decoder(1, 1 << 20, 1 << 30)
    tables = {number: kind.rows(text_layout(1, ())) for number in [0, *range(5, 40_000, 13), 2**32 - 1]}
    decoder.feed(wal(encode(Begin(1, 0, 1))))
    for turn in range(3):
        for number, rows in tables.items():
            decoder.feed(relation(number) + wal(encode(Insert(number, [f"{turn}"]))))
            assert decoder.run()[0] == Event.MESSAGE
            assert decoder.run()[:2] == (Event.UNKNOWN, number)
            decoder.route(number, rows, 0, 0)
            assert decoder.run() is None
    assert all(len(rows) == 3 for rows in tables.values())
    decoder.forget()
    decoder.feed(wal(encode(Insert(5, ["x"]))))
    assert decoder.run()[:2] == (Event.UNKNOWN, 5)


def test_announcing_a_table_again_costs_no_memory() -> None:
    decoder = COMPILED.decoder(1, 10, 1 << 30)
    decoder.feed(wal(encode(Begin(1, 0, 1))))
    for turn in range(200_000):
        if turn == 1000:
            before = resident()
        decoder.route(7, None, 0, 0)
        decoder.feed(relation(7))
        decoder.run()
    assert resident() - before < 12 << 20


def test_memory_of_a_large_message_is_given_back() -> None:
    decoder = COMPILED.decoder(1, 10, 1 << 30)
    large = wal(encode(Logical(1, "", bytes(200 << 20))))
    before = resident()
    decoder.feed(large)
    decoder.feed(keepalive(1)[:9])
    decoder.run()
    decoder.feed(keepalive(1)[9:-1])
    assert resident() - before < 30 << 20
