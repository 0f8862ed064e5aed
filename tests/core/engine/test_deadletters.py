"""Dead letters: a row that comes back whole, under an identity that does not depend on cutting."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.engine.deadletters import to_letters
from etl_core.interfaces import DeadLetter
from etl_core.model import Rejected, Stream, pack_seq
from etl_core.schema import SEQ_TYPE

STREAM = Stream("public", "orders")
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("name", pa.string()),
        ("state", pa.dictionary(pa.int16(), pa.string())),
        ("tags", pa.list_(pa.string())),
        ("point", pa.struct([("x", pa.float64()), ("y", pa.bool_())])),
        ("_etl_seq", SEQ_TYPE),
    ]
)


def table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def letters_of(rows: pa.Table, stage: str = "load") -> list[DeadLetter]:
    return to_letters("shop", 7, [Rejected(STREAM, rows, "no_base_row", "name", stage)], 12.5)


def row_of(letter: DeadLetter) -> pa.Table:
    return pa.ipc.open_stream(letter.row).read_all()


def test_a_letter_says_everything_about_its_row() -> None:
    seq = pack_seq(7, 100, 2)
    rows = table([{"id": 1, "name": "a", "state": "new", "_etl_seq": seq}])
    (letter,) = letters_of(rows)
    assert (letter.pipeline, letter.epoch, letter.stream) == ("shop", 7, STREAM)
    assert (letter.code, letter.column, letter.stage, letter.at) == ("no_base_row", "name", "load", 12.5)
    assert letter.seq == seq.hex()
    assert row_of(letter).equals(rows)


def test_every_row_of_every_rejection_is_a_letter() -> None:
    first = Rejected(STREAM, table([{"id": 1}, {"id": 2}]), "a")
    second = Rejected(STREAM, table([{"id": 3}]), "b")
    letters = to_letters("shop", 7, [first, second], 0.0)
    assert [(row_of(x)["id"][0].as_py(), x.code) for x in letters] == [(1, "a"), (2, "a"), (3, "b")]
    assert to_letters("shop", 7, [], 0.0) == []
    assert letters_of(table([])) == []


def test_a_row_without_sequence_is_told_apart_by_value_and_stage() -> None:
    rows = table([{"id": 1}, {"id": 2}, {"id": 1}])
    one, two, again = letters_of(rows)
    assert one.seq == again.seq
    assert len({one.seq, two.seq, letters_of(rows, "transform")[0].seq}) == 3


def test_a_table_without_the_column_is_without_sequences() -> None:
    (letter,) = letters_of(table([{"id": 1}]).drop_columns(["_etl_seq"]))
    assert len(letter.seq) == 64


def test_a_letter_does_not_carry_the_dictionary_of_other_rows() -> None:
    rows = table([{"id": n, "state": "x" * 1000 + str(n)} for n in range(100)])
    assert max(len(letter.row) for letter in letters_of(rows)) < 5000


_rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.integers(0, 3),
            "name": st.text(max_size=3),
            "state": st.sampled_from(["new", "paid"]),
            "tags": st.lists(st.none() | st.text(max_size=2), max_size=2),
            "point": st.fixed_dictionaries({}, optional={"x": st.floats(), "y": st.booleans()}),
        },
    ),
    min_size=1,
    max_size=8,
)


@given(rows=_rows, data=st.data())
def test_identity_and_bytes_do_not_depend_on_how_rows_are_cut(
    rows: list[dict[str, object]], data: st.DataObject
) -> None:
    whole = table(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    bounds = list(zip([0, *cuts], [*cuts, len(rows)], strict=True))
    pieces = [table(rows[start:end]) for start, end in bounds]
    slices = [whole.slice(start, end - start) for start, end in bounds]
    expected = letters_of(whole)
    assert [x for piece in pieces for x in letters_of(piece)] == expected
    assert [x for piece in slices for x in letters_of(piece)] == expected
    assert letters_of(pa.concat_tables(pieces)) == expected


@pytest.mark.parametrize("type", [pa.int64(), pa.bool_(), pa.string(), pa.binary(3), pa.decimal128(9, 2)])
def test_what_lies_under_a_null_is_not_part_of_the_identity(type: pa.DataType) -> None:
    value = {"int64": 5, "bool": True, "string": "abc"}.get(str(type), b"abc" if "binary" in str(type) else 5)
    filled = pa.array([value], type)
    hidden = pa.Array.from_buffers(type, 1, [pa.py_buffer(b"\x00"), *filled.buffers()[1:]], null_count=1)
    plain = pa.nulls(1, type)
    one, two = (letters_of(pa.table({"c": array}))[0] for array in (hidden, plain))
    assert (one.seq, one.row) == (two.seq, two.row)
