"""Parts of clauses in processes of their own: their ends, kills, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.planted import ground
from support.planted.ground_settings import Settings

from etl_core.hookspecs import Registration
from etl_core.testing.base import Conformance
from etl_core.testing.child import Child
from etl_core.testing.children import registration_of, run_part, spec_of
from etl_core.testing.verdicts import Failed, NotReached


class Kit(Conformance):
    registration = Registration("toy", Settings, "support.planted.ground:Right", "A toy.")
    section = "extract"
    changed: Mapping[str, Any] = {}

    def config(self) -> Mapping[str, Any]:
        return {"password": "open sesame", **self.changed}


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    made = Kit()
    made.directory, made.namespace = tmp_path, "conformance_1"
    return made


def of_factory(factory: Any) -> Kit:
    registration = Registration("toy", Settings, factory)
    made: Kit = type("Other", (Kit,), {"registration": registration})()
    made.directory, made.namespace = Path(), ""
    return made


def test_a_part_comes_to_its_end() -> None:
    assert run_part(ground.ends, {}) is True


def test_a_part_may_write_what_is_no_text() -> None:
    assert run_part(ground.mutters, {}) is True
    with Child(ground.mutters, {}) as child:
        assert child.heard() is None


def test_a_part_is_killed_at_a_failpoint_unless_it_is_passed_less_often() -> None:
    assert run_part(ground.passes_failpoints, {}, kill_at="after_save:3") is False
    assert run_part(ground.passes_failpoints, {}, kill_at="after_save:4") is True


def test_a_failpoint_of_whoever_runs_the_kit_kills_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_FAILPOINT", "after_save:1")
    assert run_part(ground.passes_failpoints, {}) is True


def test_a_part_that_fails_breaks_the_clause() -> None:
    with pytest.raises(Failed, match="failed") as caught:
        run_part(ground.fails, {}, kill_at="after_save")
    assert caught.value.facts == {
        "exit_code": 1,
        "error": "ValueError: for a reason",
        "killed_at": "after_save",
    }


def test_a_part_that_hangs_breaks_the_clause() -> None:
    with pytest.raises(Failed, match="did not end"):
        run_part(ground.hangs, {}, deadline=1.0)


def test_a_child_makes_the_connector_as_a_run_does(kit: Kit) -> None:
    spec = spec_of(kit)
    assert registration_of(spec) == Registration("toy", Settings, "support.planted.ground:Right")
    assert json.loads(json.dumps(spec)) == spec
    assert run_part(ground.makes, spec)
    assert spec_of(of_factory(ground.Right))["factory"] == "support.planted.ground:Right"


def test_what_a_child_cannot_make_is_not_reached(kit: Kit) -> None:
    with pytest.raises(NotReached, match="cannot import it"):
        spec_of(of_factory(lambda config: config))
    kit.changed = {"opens": Path("a path is text"), "inner": object()}
    with pytest.raises(NotReached, match="no JSON value"):
        spec_of(kit)


def test_a_child_is_heard_told_and_interrupted(tmp_path: Path) -> None:
    with Child(ground.answers, {"directory": str(tmp_path)}) as child:
        assert child.next() == str(tmp_path)
        child.tell("a word")
        assert child.next() == "a word"
        assert child.ended(0.01) is None
        child.interrupt()
        assert child.next() == "interrupted"
        child.tell()
        assert child.next() == "go on"
        assert child.ended(30) == 0
        assert child.heard() is None
        child.tell("to nobody")


def test_a_child_that_ends_too_early_breaks_the_clause() -> None:
    with Child(ground.fails, {}) as child, pytest.raises(Failed) as caught:
        child.next()
    assert caught.value.facts == {"exit_code": 1, "error": "ValueError: for a reason"}


def test_a_child_that_hangs_is_killed() -> None:
    with Child(ground.hangs, {}, deadline=1.0) as child:
        assert child.heard() is None
        assert child.ended(30) == -9


def test_a_child_ends_with_the_block_and_when_nobody_listens(tmp_path: Path) -> None:
    with Child(ground.answers, {"directory": str(tmp_path)}) as child:
        child.next()
    assert child.ended(0) == -9
    with pytest.raises(Failed) as caught:
        run_part(ground.answers, {})
    assert caught.value.facts["error"] == "nobody listens any more"
