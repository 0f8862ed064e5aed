"""A position that moves says what one made at once would, and what was handed out stays as it was."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from etl_core import Stream
from etl_postgres_cdc.position import Column, Cut, Identity, Progress, TableState

IDENTITY = Identity("1", 1, "slot", "publication", 2, "shape")
STREAMS = st.builds(Stream, st.sampled_from(["public", "a.b"]), st.sampled_from("xyzXYZ"))
STATES = st.none() | st.builds(
    TableState,
    st.integers(1, 9),
    st.just("1:2"),
    st.none() | st.integers(0, 2**64 - 1),
    st.just((Column(1, "id", 23, -1),)),
    st.just((1,)),
)


@given(st.lists(st.tuples(STREAMS, STATES, st.booleans())))
def test_tables_that_change_one_by_one(changes: list[tuple[Stream, TableState | None, bool]]) -> None:
    moving = Progress(IDENTITY, 5)
    handed: list[tuple[object, str]] = []
    for stream, state, asked in changes:
        moving.set(stream, state)
        if asked:
            value = moving.value(Cut(7, 3))
            handed.append((value, json.dumps(value)))
            assert value == Progress(IDENTITY, 5, tables=dict(moving.tables)).value(Cut(7, 3))
            assert Progress.parse(value).tables == moving.tables
    assert [json.dumps(value) for value, _ in handed] == [text for _, text in handed]
    waiting = sorted(stream for stream, state in moving.tables.items() if state.snapshot is None)
    assert moving.pending == waiting
