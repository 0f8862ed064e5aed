"""What the server sends, read exactly or refused."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from wire_messages import encode, in_progress

from etl_core import COMMIT_TS, OLD_KEY, OP, SEQ, FatalError, pack_seq
from etl_core import UNCHANGED as UNCHANGED_COLUMN
from etl_pglib.types import PgType
from etl_postgres_cdc.copytext import split
from etl_postgres_cdc.layout import Layout
from etl_postgres_cdc.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Logical,
    Message,
    Origin,
    Relation,
    RelationColumn,
    StreamAbort,
    StreamCommit,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
    parse,
)
from etl_postgres_cdc.rows import EPOCH, Rows

TEXTS = st.text(max_size=20).filter(lambda text: "\0" not in text)
OIDS = st.integers(0, 2**32 - 1)
LSNS = st.integers(0, 2**63 - 1)
#: Those that are also microseconds since 1970.
TIMES = st.integers(-(2**63), 2**63 - 1 - EPOCH)
VALUES = st.lists(st.none() | TEXTS | st.just(UNCHANGED), max_size=5)


COLUMNS = st.builds(RelationColumn, st.booleans(), TEXTS, OIDS, st.integers(-1, 2**31 - 1))
MESSAGES = st.one_of(
    st.builds(Begin, LSNS, TIMES, OIDS),
    st.builds(Commit, LSNS, LSNS, TIMES),
    st.builds(Origin, LSNS, TEXTS),
    st.builds(
        Relation, OIDS, TEXTS, TEXTS, st.sampled_from("dnfi"), st.lists(COLUMNS, max_size=4).map(tuple)
    ),
    st.builds(Type, OIDS, TEXTS, TEXTS),
    st.builds(Insert, OIDS, VALUES),
    st.builds(Update, OIDS, VALUES, st.booleans(), VALUES),
    st.builds(Update, OIDS, st.none(), st.just(False), VALUES),
    st.builds(Delete, OIDS, VALUES, st.booleans()),
    st.builds(Truncate, st.lists(OIDS, max_size=4).map(tuple), st.integers(0, 255)),
    st.builds(Logical, LSNS, TEXTS, st.binary(max_size=20)),
    st.builds(StreamStart, OIDS, st.booleans()),
    st.builds(StreamStop),
    st.builds(StreamCommit, OIDS, LSNS, LSNS, TIMES),
    st.builds(StreamAbort, OIDS, OIDS),
)


@given(MESSAGES)
def test_every_message_is_read_as_it_was_written(message: Message) -> None:
    assert parse(encode(message)) == message


@given(MESSAGES, st.data())
def test_a_cut_message_is_refused(message: Message, data: st.DataObject) -> None:
    encoded = encode(message)
    with pytest.raises(FatalError, match="no message of pgoutput"):
        parse(encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@given(MESSAGES, st.binary(min_size=1, max_size=5))
def test_a_message_with_more_than_it_has_is_refused(message: Message, more: bytes) -> None:
    with pytest.raises(FatalError):
        parse(encode(message) + more)


@given(MESSAGES, st.data())
def test_a_corrupt_message_is_read_or_refused(message: Message, data: st.DataObject) -> None:
    encoded = bytearray(encode(message))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with suppress(FatalError):
        parse(bytes(encoded))


@pytest.mark.parametrize(
    "message", [Begin(1, 2**63 - EPOCH, 1), Commit(1, 1, 2**63 - 1), StreamCommit(1, 1, 1, 2**62 * 2 - 1)]
)
def test_a_time_that_arrow_has_not_is_refused(message: Message) -> None:
    with pytest.raises(FatalError):
        parse(encode(message))


def test_only_origins_have_no_number_inside_a_transaction_in_progress() -> None:
    assert in_progress(7, Origin(1, "o")) == encode(Origin(1, "o"))
    assert in_progress(7, Truncate((), 0)) == b"T\0\0\0\7" + encode(Truncate((), 0))[1:]


def test_an_unknown_message_is_refused_and_not_shown() -> None:
    with pytest.raises(FatalError) as error:
        parse(b"?what")
    assert error.value.facts == {"kind": "3f", "size": 5}


TEXT_TYPE = PgType(25, -1, "text", pa.string(), lambda values: pa.array(values, pa.string()))


def rows(key: tuple[int, ...] = (0,)) -> Rows:
    return Rows(Layout(("id", "v"), (TEXT_TYPE, TEXT_TYPE), key))


@given(
    st.lists(st.builds(Insert, st.just(1), st.lists(st.none() | TEXTS, min_size=2, max_size=2)), max_size=20)
)
def test_rows_come_out_as_they_went_in(changes: list[Insert]) -> None:
    gathered = rows()
    for number, change in enumerate(changes):
        gathered.change(change, pack_seq(1, 2, number), 0, 5)
    assert (len(gathered), gathered.size) == (len(changes), 5 * len(changes))
    batch = gathered.finish()
    assert batch.schema == gathered.layout.full
    assert [list(row.values())[:2] for row in batch.to_pylist()] == [change.new for change in changes]
    assert batch.column(SEQ).to_pylist() == [pack_seq(1, 2, number) for number in range(len(changes))]
    assert {str(time) for time in batch.column(COMMIT_TS).to_pylist()} <= {"2000-01-01 00:00:00+00:00"}


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["a", "b", None, UNCHANGED]), st.booleans())
    )
)
def test_old_keys_and_unchanged_values_belong_to_their_rows(updates: list[tuple[str, object, bool]]) -> None:
    gathered = rows()
    for old, value, keyed in updates:
        change = Update(1, [old, None] if keyed else None, False, ["a", value])  # type: ignore[list-item]
        gathered.change(change, pack_seq(1, 1, 1), 0, 1)
    for row, (old, value, keyed) in zip(gathered.finish().to_pylist(), updates, strict=True):
        assert row[OP] == "u"
        assert row["v"] == (None if value is UNCHANGED else value)
        assert row[UNCHANGED_COLUMN] == (["v"] if value is UNCHANGED else None)
        assert row[OLD_KEY] == ({"id": old} if keyed and old != "a" else None)


def test_a_row_of_another_width_is_refused() -> None:
    for change in (Insert(1, ["a"]), Update(1, ["a"], True, ["a", "b"]), Delete(1, ["a", "b", "c"], True)):
        with pytest.raises(FatalError, match="columns that the server announced"):
            rows().change(change, pack_seq(1, 1, 1), 0, 1)


def test_no_rows_and_no_columns_are_rows_too() -> None:
    assert rows().finish().num_rows == 0
    empty = Rows(Layout((), (), ()))
    empty.read(pack_seq(1, 1, 1), split(b"\n", 0), 1)
    assert empty.finish().num_rows == 1


def copied(values: list[str | None]) -> bytes:
    """Write a row as COPY does."""
    escapes = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", "\\": "\\"}
    fields = [
        "\\N" if v is None else "".join(f"\\{escapes[c]}" if c in escapes else c for c in v) for v in values
    ]
    return "\t".join(fields).encode() + b"\n"


@given(st.lists(st.none() | TEXTS | st.sampled_from(["\\N", "\\", "\t\n\r\b\f\v"]), min_size=1, max_size=5))
def test_a_copied_row_is_read_as_it_was_written(values: list[str | None]) -> None:
    assert split(copied(values), len(values)) == values


@given(st.lists(TEXTS, min_size=1, max_size=3), st.integers(1, 5))
def test_a_copied_row_of_another_width_is_refused(values: list[str], columns: int) -> None:
    assume(columns != len(values))
    with pytest.raises(FatalError):
        split(copied(list(values)), columns)


def test_text_that_is_not_utf8_is_refused_and_not_shown() -> None:
    with pytest.raises(FatalError, match="not UTF-8") as error:
        split(b"secret\xff\n", 1)
    assert "secret" not in repr(error.value)
    assert error.value.__cause__ is None


def test_the_schema_of_a_layout_has_its_key() -> None:
    layout = rows((1, 0)).layout
    assert layout.key_names == ("v", "id")
    assert layout.full.field(OLD_KEY).type == pa.struct([("v", pa.string()), ("id", pa.string())])
