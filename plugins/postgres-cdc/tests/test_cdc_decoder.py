"""The compiled decoder makes of any stream what the one in Python makes of it."""

from __future__ import annotations

import attrs
from decoder_driver import BOTH, PLAIN, Plan, same_batches, transcript
from decoder_streams import PLANS, RELATIONS, Stream, chunks_of, stream, streams
from hypothesis import event, given, settings
from hypothesis import strategies as st

from etl_postgres_cdc.events import Event

CHUNKS = st.sampled_from([0, 1, 7, 100, 4096])


def assert_equal(plan: Plan, chunks: list[bytes]) -> None:
    found, expected = (transcript(kind, plan, chunks) for kind in BOTH)
    assert found.seen == expected.seen
    assert same_batches(found.batches, expected.batches)
    for what in {str(item[0]) for item in expected.seen}:
        event(what)


def test_the_streams_have_everything() -> None:
    plan = Plan(max_rows=6, due=1e-3, passing=frozenset({1}))
    seen = [transcript(PLAIN, plan, [stream(seed, 12).data]).seen for seed in range(20)]
    wanted = {*Event} - {Event.IDLE, Event.ENDED, Event.FAILED, Event.ASTRAY}
    assert {item[0] for items in seen for item in items} >= {*wanted, "rows", "replayed"}
    assert max(item[2] for items in seen for item in items if item[0] == "rows") >= 5


@settings(max_examples=300)
@given(streams(), PLANS, CHUNKS)
def test_streams(stream: Stream, plan: Plan, chunk: int) -> None:
    assert_equal(plan, chunks_of(stream.data, chunk))


@given(streams(), st.data())
def test_a_snapshot_that_ends_with_a_transaction(stream: Stream, data: st.DataObject) -> None:
    """The first transaction that it does not include is the one that commits there."""
    snapshots = dict.fromkeys(RELATIONS, data.draw(st.sampled_from([*stream.lsns, 0])))
    assert_equal(Plan(snapshots=snapshots), [stream.data])


@given(streams(misfits=0.05), PLANS)
def test_values_that_do_not_fit(stream: Stream, plan: Plan) -> None:
    assert_equal(plan, [stream.data])


@given(streams(), PLANS, st.data())
def test_going_on_in_the_middle_of_a_transaction(stream: Stream, plan: Plan, data: st.DataObject) -> None:
    lsn = data.draw(st.sampled_from([*stream.lsns[:1] * 4, *stream.lsns, 5]))
    plan = attrs.evolve(plan, cut=(lsn, data.draw(st.integers(0, 9))))
    assert_equal(plan, [stream.data])
