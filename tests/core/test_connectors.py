"""Connectors by hand: parts, transforms' streams, closing."""

from __future__ import annotations

from typing import Any, cast

import pytest

from etl_core.connectors import Connectors, Part, TransformStep, part_of
from etl_core.interfaces import Transform
from etl_core.model import Stream
from etl_core.state.memory import MemoryStore


def connectors(**given: Any) -> Connectors:
    anything: Any = object()
    return Connectors(
        **{"name": "x", "source": anything, "destination": anything, "loader": anything, **given}
    )


def test_objects_may_be_given_as_they_are() -> None:
    source, observer, state = object(), object(), MemoryStore()
    made = connectors(source=source, state=state, observers=[("o", observer)])
    assert made.source is source
    assert made.state is state
    assert made.observers == [("o", observer)]
    assert made.loader is cast("object", made.destination)


def test_a_state_store_is_closed_only_if_it_was_used() -> None:
    closed: list[str] = []

    class Store(MemoryStore):
        def close(self) -> None:
            closed.append("closed")

    made = connectors(state=Part(Store))
    made.close_state()
    assert closed == []
    _ = made.state
    made.close_state()
    assert closed == ["closed"]


def test_a_part_that_fails_may_be_asked_again() -> None:
    failures = [ValueError("not yet")]

    def make() -> int:
        if failures:
            raise failures.pop()
        return 5

    part = Part(make)
    with pytest.raises(ValueError, match="not yet"):
        part.get()
    assert not part.made
    assert part.get() == part.get() == 5
    assert part_of(part) is part


@pytest.mark.parametrize(
    ("patterns", "fits"),
    [(("*",), True), (("public.*",), True), (("Public.*",), False), (("a", "*.orders"), True), ((), False)],
)
def test_a_transform_is_for_the_streams_that_fit(patterns: tuple[str, ...], fits: bool) -> None:
    transform = cast("Transform", object())
    step = TransformStep("mask", transform, patterns)
    assert step.applies(Stream("public", "orders")) is fits
    assert step.transform is transform
    assert step.load_seconds >= 0
