"""What the kit for sources finds in batches: columns that do not fit, sequences, other rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import pyarrow as pa
import pytest

from etl_core import OLD_KEY, OP, SEQ, UNCHANGED, AddColumn, Batch, Kind, Stream, StreamInfo, pack_seq
from etl_core.testing.source.changes import same, told
from etl_core.testing.source.enduring import once, repeated
from etl_core.testing.source.fitting import Fit, Sequences
from etl_core.testing.verdicts import Failed

STREAM = Stream("public", "orders")
OTHER = Stream("public", "lines")
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])
STREAMS = {STREAM: StreamInfo(STREAM, SCHEMA, ("id",), stable_seq=True)}
KEYLESS = {STREAM: StreamInfo(STREAM, SCHEMA)}
BEGIN, END = Batch(Kind.SNAPSHOT_BEGIN, STREAM, schema=SCHEMA), Batch(Kind.SNAPSHOT_END, STREAM)


def seq(place: int, epoch: int = 1) -> bytes:
    return pack_seq(epoch, place, 1)


def rows(*found: tuple[int | None, str | None], **reserved: Sequence[Any] | pa.Array) -> Batch:
    data = {"id": pa.array([row[0] for row in found], pa.int64()), "name": [row[1] for row in found]}
    types = {SEQ: pa.binary(20), OLD_KEY: pa.struct([("id", pa.int64())])}
    types[UNCHANGED] = pa.list_(pa.dictionary(pa.int16(), pa.string()))
    for name, values in reserved.items():
        known = isinstance(values, pa.Array)
        data[name] = values if known else pa.array(values, types.get(name, pa.string()))
    return Batch.of(STREAM, pa.record_batch(data))


def refused(check: Callable[[], object], message: str) -> None:
    with pytest.raises(Failed) as error:
        check()
    assert error.value.message == message


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([Batch(Kind.PROGRESS)], "a progress batch has no position"),
        ([Batch(Kind.TRUNCATE, OTHER)], "a stream was never announced"),
        ([END], "a snapshot ends that was not begun"),
        ([BEGIN], "a snapshot was not ended"),
        ([Batch(Kind.SNAPSHOT_BEGIN, STREAM)], "a snapshot was not ended"),
        (
            [Batch(Kind.SCHEMA, STREAM, schema=SCHEMA, key=("number",))],
            "the key names columns that are not there",
        ),
        ([Batch.of(STREAM, pa.record_batch({"id": [1]}))], "rows have other columns than announced"),
        (
            [Batch.of(STREAM, pa.record_batch({"id": ["1"], "name": ["one"]}))],
            "a column has another type than announced",
        ),
        ([rows((1, "one"), _etl_own=["mine"])], "a column has a name that is reserved"),
        ([rows((1, "one"), **{SEQ: pa.array([b"1"])})], "a reserved column has another type"),
        ([rows((1, "one"), **{OP: ["x"]})], "an operation is none of r, i, u, d"),
        ([rows((1, "one"), **{UNCHANGED: [["nome"]]})], "_etl_unchanged names a column that is not there"),
        ([rows((None, "one"))], "rows come without their key"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(batches: Sequence[Batch], message: str) -> None:
    def check() -> None:
        fit = Fit(STREAMS)
        for number, batch in enumerate(batches):
            fit.take(number, batch)
        fit.end()

    refused(check, message)


def test_columns_may_change_where_it_is_announced() -> None:
    fit, wider = Fit(STREAMS), SCHEMA.append(pa.field("more", pa.int64()))
    more = pa.record_batch({"id": [1], "name": ["one"], "more": [2]}, schema=wider)
    marker = Batch(Kind.SCHEMA, STREAM, schema=wider, changes=(AddColumn("more", pa.int64()),))
    for number, batch in enumerate([BEGIN, rows((1, "one")), END, marker, Batch.of(STREAM, more)]):
        fit.take(number, batch)
    fit.end()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([rows((1, "one"))], "stable_seq is claimed, but changes have no _etl_seq"),
        (
            [rows((1, "one"), (2, "two"), **{SEQ: [seq(1), None]})],
            "some changes of a stream have an _etl_seq, others none",
        ),
        (
            [Batch(Kind.TRUNCATE, STREAM), rows((1, "one"), **{SEQ: [seq(1)]})],
            "some changes of a stream have an _etl_seq, others none",
        ),
        ([Batch(Kind.TRUNCATE, STREAM, seq=b"1")], "an _etl_seq does not have 20 bytes"),
        ([rows((1, "one"), **{SEQ: [seq(1, 2)]})], "an _etl_seq has another epoch than ctx.epoch"),
        ([rows((1, "one"), (2, "two"), **{SEQ: [seq(1), seq(1)]})], "an _etl_seq comes twice"),
        (
            [rows((1, "one"), (2, "two"), **{SEQ: [seq(2), seq(1)]})],
            "an _etl_seq is lower than one before it",
        ),
    ],
)
def test_sequences_that_do_not_rise_are_refused(batches: Sequence[Batch], message: str) -> None:
    def check() -> None:
        sequences = Sequences(STREAMS, epoch=1)
        for number, batch in enumerate([Batch.progress(1), *batches]):
            sequences.take(number, batch)
        sequences.end()

    refused(check, message)


def changes(*told: tuple[str, int, str | None], first: int = 1) -> list[Batch]:
    return [
        rows((key, name), **{OP: [op], SEQ: [seq(place)]})
        for place, (op, key, name) in enumerate(told, first)
    ]


def test_what_is_cut_in_another_way_is_the_same() -> None:
    one = [rows((1, "one"), (2, "two")), rows((3, None)), Batch.progress(1)]
    other = [rows((1, "one")), Batch(Kind.SCHEMA, STREAM, schema=SCHEMA), rows((2, "two"), (3, None)), rows()]
    same(one, other[:1], other[1:], KEYLESS)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ([("i", 1, "one")], "rows are missing"),
        ([("i", 1, "one"), ("u", 1, "uno"), ("i", 2, "two"), ("i", 2, "two")], "rows come that should not"),
        ([("i", 1, "one"), ("i", 2, "two"), ("u", 1, "uno")], "rows come in another order"),
    ],
)
def test_what_is_not_the_same_is_said(rest: list[tuple[str, int, str]], message: str) -> None:
    whole = changes(("i", 1, "one"), ("u", 1, "uno"), ("i", 2, "two"))
    refused(lambda: same(whole, [], changes(*rest), STREAMS), message)


def test_another_sequence_matters_where_they_are_stable() -> None:
    one, other = changes(("i", 1, "one")), changes(("i", 1, "one"), first=7)
    refused(lambda: same(one, [], other, STREAMS), "a change has another _etl_seq than before")
    same(one, [], other, KEYLESS)


def test_a_snapshot_that_is_begun_anew_may_have_other_rows() -> None:
    moved = rows((5, None), **{OP: ["u"], UNCHANGED: [["name"]], OLD_KEY: [{"id": 1}]})
    whole = [BEGIN, rows((1, "one"), (2, "two")), END, moved, *changes(("d", 2, None), ("i", 3, "three"))]
    anew = [BEGIN, rows((3, "three"), (5, "one")), END]
    same(whole, whole[:2], anew, STREAMS)
    short = [BEGIN, rows((3, "three")), END]
    refused(lambda: same(whole, whole[:2], short, STREAMS), "rows are missing")
    twice = [BEGIN, rows((3, "three"), (5, "one"), (5, "one")), END]
    refused(lambda: same(whole, whole[:2], twice, STREAMS), "rows come that should not")


def test_rows_without_a_key_are_compared_where_they_can_be() -> None:
    whole = [BEGIN, rows((1, "one")), END, *changes(("i", 2, "two"))]
    same(whole, whole[:1], [BEGIN, rows((2, "two"), (1, "one")), END], KEYLESS)
    refused(lambda: same(whole, [], [BEGIN, rows((1, "one")), END], KEYLESS), "rows are missing")
    same([*whole, *changes(("d", 2, None))], [], [BEGIN, rows((1, "one")), END], KEYLESS)


def test_values_that_python_has_none_for_are_compared() -> None:
    far = pa.array([2**62, 2**62 + 1, None], pa.timestamp("us"))
    batch = Batch.of(STREAM, pa.record_batch({"at": far}))
    one, two, three = told([batch])[STREAM].items
    table = Batch(Kind.ROWS, STREAM, pa.table({"at": pa.chunked_array([far[:1], far[1:]])}))
    same([batch], [], [table], {})
    assert one.values.keys() == two.values.keys() == {"at"}
    assert (one.values != two.values, three.values) == (True, {})
    now = pa.array([datetime(2024, 2, 29, tzinfo=UTC)])
    assert told([Batch.of(STREAM, pa.record_batch({"at": now}))])[STREAM].items[0].values


def test_what_endured_is_told_apart_by_sequence() -> None:
    wanted = changes(("i", 1, "one"), ("i", 2, "two"))
    twice = [*wanted[:1], *wanted]
    assert repeated(wanted) == {STREAM: 0}
    assert repeated(twice) == {STREAM: 1}
    once(wanted, twice, STREAMS, loose=True)
    once(wanted, twice, KEYLESS, loose=True)
    refused(lambda: once(wanted, twice, STREAMS, loose=False), "rows come that should not")
    refused(lambda: once(wanted, wanted[:1], KEYLESS, loose=True), "rows are missing")
    snapshot = [BEGIN, rows((2, "two"), (1, "one")), END]
    once(snapshot, [BEGIN, rows((1, "one")), END, *changes(("i", 2, "two"))], STREAMS, loose=False)


def test_a_snapshot_that_endured_comes_again_only_where_that_is_allowed() -> None:
    begin, end = (attrs.evolve(one, seq=seq(place)) for one, place in ((BEGIN, 1), (END, 9)))
    wanted = [begin, rows((1, "one"), **{OP: ["r"], SEQ: [seq(2)]}), end]
    again = [*wanted, *wanted]
    assert repeated(again) == {STREAM: 0}
    once(wanted, again, STREAMS, loose=True)
    refused(lambda: once(wanted, again, STREAMS, loose=False), "a snapshot that was durable came again")
    once(wanted, [*wanted[:2], *wanted], STREAMS, loose=False)
