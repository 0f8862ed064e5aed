"""What every state store of the core promises, asked of each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_core.errors import StateError
from etl_core.interfaces import DeadLetter, StateStore
from etl_core.model import Position, Stream
from etl_core.state.config import MemoryConfig, SqliteConfig
from etl_core.state.memory import MemoryStore
from etl_core.state.sqlite import SqliteStore

Make = Callable[..., StateStore]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[StateStore] = []

    def build(**settings: Any) -> StateStore:
        if request.param == "memory":
            made.append(MemoryStore(MemoryConfig(**settings)))
        else:
            made.append(SqliteStore(SqliteConfig(path=tmp_path / "s" / "state.db", **settings)))
        return made[-1]

    yield build
    for store in made:
        store.close()


@pytest.fixture
def store(make: Make) -> StateStore:
    return make()


def position(n: int, value: object = None) -> Position:
    return Position(7, n, {"lsn": n} if value is None else value)


def letter(
    n: int, *, seq: str | None = None, code: str = "no_base_row", pipeline: str = "shop"
) -> DeadLetter:
    stream = Stream("public", "orders")
    return DeadLetter(pipeline, 7, stream, seq or f"{n:040x}", "destination", code, None, b"row%d" % n, 1.5)


def test_a_store_that_was_never_used_knows_nothing(store: StateStore) -> None:
    store.check()
    assert store.load("shop") is None
    assert store.history("shop") == []
    assert store.dead_letters("shop") == []
    assert store.holder("shop") is None
    assert store.pipelines() == []


def test_a_saved_position_is_loaded_as_it_was(store: StateStore) -> None:
    saved = Position(2**31, 2**40, {"tables": {"a.b": [1, None, "ü"]}, "big": 2**70}, complete=False)
    store.save(store.claim("shop"), saved)
    assert store.load("shop") == saved
    assert [entry.position for entry in store.history("shop")] == [saved]
    store.check()


def test_saving_what_is_stored_succeeds_and_makes_no_history(store: StateStore) -> None:
    fence = store.claim("shop")
    for _ in range(3):
        store.save(fence, position(1))
    assert len(store.history("shop")) == 1


def test_history_is_newest_first_and_bounded_per_pipeline(make: Make) -> None:
    store = make(history=3)
    shop, other = store.claim("shop"), store.claim("other")
    store.save(other, position(1))
    for n in range(1, 8):
        store.save(shop, position(n))
    assert [entry.position.n for entry in store.history("shop")] == [7, 6, 5]
    assert [entry.position.n for entry in store.history("shop", 2)] == [7, 6]
    assert [entry.position.n for entry in store.history("other")] == [1]


def test_a_second_claim_is_told_who_holds_the_first(store: StateStore) -> None:
    fence = store.claim("shop")
    holder = store.holder("shop")
    assert holder
    with pytest.raises(StateError) as caught:
        store.claim("shop")
    assert caught.value.holder == holder
    assert caught.value.hint
    store.save(fence, position(1))
    store.release(fence)
    assert store.holder("shop") is None


def test_a_released_claim_can_be_taken_and_the_old_fence_is_dead(store: StateStore) -> None:
    old = store.claim("shop")
    store.save(old, position(1))
    store.release(old)
    store.release(old)
    new = store.claim("shop")
    assert new != old
    attempts: list[Callable[[], None]] = [
        lambda: store.save(old, position(1)),
        lambda: store.clear(old),
        lambda: store.add_dead_letters(old, [letter(1)]),
    ]
    for attempt in attempts:
        with pytest.raises(StateError, match="claim of this run is lost"):
            attempt()
    assert store.load("shop") == position(1)


def test_clear_forgets_position_and_history_and_keeps_dead_letters(store: StateStore) -> None:
    shop, other = store.claim("shop"), store.claim("other")
    store.save(shop, position(1))
    store.save(other, position(2))
    store.add_dead_letters(shop, [letter(1)])
    store.clear(shop)
    assert store.load("shop") is None
    assert store.history("shop") == []
    assert store.dead_letters("shop") == [letter(1)]
    assert store.load("other") == position(2)
    store.save(shop, position(1))
    assert store.load("shop") == position(1)


def test_a_note_replaces_the_one_before_and_goes_with_the_position(store: StateStore) -> None:
    assert store.noted("shop") is None
    fence = store.claim("shop")
    assert store.noted("shop") is None
    store.note(fence, {"at": 1.5, "streams": {}})
    store.note(fence, {"at": 2.5, "streams": {'"a.b".c': {"rows_read": 1}}})
    assert store.noted("shop") == {"at": 2.5, "streams": {'"a.b".c': {"rows_read": 1}}}
    assert store.noted("other") is None
    store.release(fence)
    assert store.noted("shop") is not None
    with pytest.raises(StateError, match="claim of this run is lost"):
        store.note(fence, {})
    store.clear(store.claim("shop"))
    assert store.noted("shop") is None


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


def test_dead_letters_come_back_whole_and_oldest_first(store: StateStore) -> None:
    fence = store.claim("shop")
    letters = [letter(3), letter(1), letter(2)]
    store.add_dead_letters(fence, letters[:2])
    store.add_dead_letters(fence, letters[2:])
    assert store.dead_letters("shop") == letters
    assert store.dead_letters("shop", 2) == letters[:2]


def test_adding_letters_again_changes_nothing(store: StateStore) -> None:
    fence = store.claim("shop")
    store.add_dead_letters(fence, [letter(1)])
    store.add_dead_letters(fence, [letter(1, code="other"), letter(2), letter(2, code="other")])
    assert store.dead_letters("shop") == [letter(1), letter(2)]


def test_a_full_store_refuses_new_letters_and_takes_known_ones(make: Make) -> None:
    store = make(dead_letters=2)
    fence, other = store.claim("shop"), store.claim("other")
    store.add_dead_letters(other, [letter(9, pipeline="other")])
    store.add_dead_letters(fence, [letter(1), letter(2)])
    with pytest.raises(StateError, match="no room") as caught:
        store.add_dead_letters(fence, [letter(2), letter(3)])
    assert caught.value.limit == 2
    assert store.dead_letters("shop") == [letter(1), letter(2)]
    store.add_dead_letters(fence, [letter(1), letter(2)])
    store.add_dead_letters(fence, [])


def test_threads_of_many_pipelines_save_side_by_side(store: StateStore) -> None:
    def work(name: str) -> None:
        fence = store.claim(name)
        for n in range(20):
            store.save(fence, position(n))
        store.release(fence)

    names = [f"p{i}" for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, names))
    assert [store.load(name) for name in names] == [position(19)] * 6


def test_of_many_threads_one_gets_the_claim(store: StateStore) -> None:
    barrier = threading.Barrier(8)

    def work(_: int) -> bool:
        barrier.wait()
        try:
            return bool(store.claim("shop"))
        except StateError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1


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
