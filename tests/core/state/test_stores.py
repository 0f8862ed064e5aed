"""What the stores of the core do beyond what `etl_core.testing` asks of every state store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import StateError
from etl_core.interfaces import DeadLetter, StateStore
from etl_core.model import Position, Stream
from etl_core.state.config import MemoryConfig, SqliteConfig
from etl_core.state.memory import MemoryStore
from etl_core.state.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    memory = request.param == "memory"
    made = MemoryStore() if memory else SqliteStore(SqliteConfig(path=tmp_path / "s" / "state.db"))
    yield made
    made.close()


def position(n: int) -> Position:
    return Position(7, n, {"lsn": n})


def test_saving_what_is_stored_succeeds_and_makes_no_history(store: StateStore) -> None:
    fence = store.claim("shop")
    for _ in range(3):
        store.save(fence, position(1))
    assert len(store.history("shop")) == 1


def test_a_store_need_not_keep_notes(store: StateStore) -> None:
    fence = store.claim("shop")
    StateStore.note(store, fence, {"at": 1.5})
    assert StateStore.noted(store, "shop") is None


def test_pipelines_whose_names_need_care_do_not_meet(store: StateStore) -> None:
    names = ["a", "A", "a/b", "a_b", "../a", "ü" * 200, "a b", ""]
    fences = [store.claim(name) for name in names]
    for n, fence in enumerate(fences):
        store.save(fence, position(n))
    assert [store.load(name) for name in names] == [position(n) for n in range(len(names))]
    assert sorted(store.pipelines()) == sorted(names)


_letters = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["transform", "destination"])), max_size=12)


@settings(max_examples=30)  # every example makes a file and syncs it
@given(calls=st.lists(_letters, max_size=6), bound=st.integers(1, 8))
def test_any_way_of_cutting_letters_into_calls_keeps_the_first_of_each(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[tuple[int, str]]], bound: int
) -> None:
    """The oracle is a dictionary; memory and sqlite have to agree with it, refusals included."""
    stores: list[StateStore] = [
        MemoryStore(MemoryConfig(dead_letters=bound)),
        SqliteStore(SqliteConfig(path=tmp_path_factory.mktemp("letters") / "state.db", dead_letters=bound)),
    ]
    expected: dict[tuple[str, str], DeadLetter] = {}
    fences = [store.claim("shop") for store in stores]
    for at, call in enumerate(calls):
        letters = [
            DeadLetter("shop", 7, Stream("", "t"), f"{n:040x}", stage, "c", "col", b"%d" % at, float(at))
            for n, stage in call
        ]
        wanted = dict(expected)
        for each in letters:
            wanted.setdefault((each.seq, each.stage), each)
        fits = len(wanted) <= bound
        for store, fence in zip(stores, fences, strict=True):
            if fits:
                store.add_dead_letters(fence, letters)
            else:
                with pytest.raises(StateError):
                    store.add_dead_letters(fence, letters)
        expected = wanted if fits else expected
    for store in stores:
        assert store.dead_letters("shop") == list(expected.values())
        store.close()
