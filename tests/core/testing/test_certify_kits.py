"""Which kit a connector is held to, and what a plain one fills in by itself."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Self, cast

import attrs
import click
import pytest

import etl_core.testing
from etl_core import Registration, setting
from etl_core.errors import ConfigError, PluginError
from etl_core.hookspecs import HOOKS
from etl_core.testing import Conformance, LoaderConformance, TransformConformance
from etl_core.testing.certify.command import _chosen
from etl_core.testing.certify.kits import GROUP, KITS, kits_of, plain_kit, with_settings
from etl_core.testing.certify.process import Died, Worker
from etl_core.testing.certify.progress import showing
from etl_core.testing.certify.report import certified
from etl_core.testing.certify.supervising import Job, Listed, jobs_of, outcomes_of
from etl_core.testing.certify.targets import Target, registration_for, targets_of
from etl_core.testing.certify.worker import _listed
from etl_core.testing.clauses import FIRST, clauses_of
from etl_core.testing.verdicts import Verdict

TARGET = Target("load", "append", "etl-core", "1.0", "loaders")


def registered(name: str) -> Registration:
    return Registration(name, None, "a:b", "x")


class Mine(LoaderConformance):
    registration = registered("append")


class Another(LoaderConformance):
    registration = registered("upsert")


class Elsewhere(TransformConformance):
    registration = registered("append")


class Nameless(LoaderConformance):
    pass


class Rootless(Conformance):
    section = "load"
    registration = registered("append")


def points(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[EntryPoint]:
    module = ModuleType("etl_core_tests_kits")
    for name in names:
        setattr(module, name, globals()[name])
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return [EntryPoint(name.lower(), f"{module.__name__}:{name}", GROUP) for name in names]


@pytest.mark.parametrize("section", HOOKS)
def test_every_section_has_a_kit_with_words_for_each_clause(section: str) -> None:
    kit = plain_kit(section)
    assert kit.section == section
    assert kit is getattr(etl_core.testing, KITS[section])
    clauses = clauses_of(kit)
    assert clauses[0].name == FIRST
    assert [clause.name for clause in clauses if not clause.promise.endswith(".")] == []


def test_kits_are_chosen_by_section_and_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = points(monkeypatch, "Mine", "Another", "Elsewhere")
    assert kits_of(TARGET, found) == [Mine]
    assert kits_of(TARGET, found[1:]) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Path", "it is no class of etl_core.testing"),
        ("Nameless", "it has no registration"),
        ("Rootless", "it is not a subclass of the kit of its kind"),
    ],
)
def test_what_is_no_kit_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        kits_of(TARGET, points(monkeypatch, name))


def test_a_kit_that_cannot_be_imported_is_refused_and_an_interrupt_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(PluginError, match="ModuleNotFoundError"):
        kits_of(TARGET, [EntryPoint("x", "surely_not_there:Kit", GROUP)])

    def interrupt(self: EntryPoint) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EntryPoint, "load", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kits_of(TARGET, [EntryPoint("x", "surely_not_there:Kit", GROUP)])


@attrs.frozen(kw_only=True)
class Filling:
    path: Path = setting(help="Where.")
    other: Path | None = setting(help="Where else.")
    more: str = setting("x", help="More.")


@attrs.frozen(kw_only=True)
class Asking(Filling):
    url: str = setting(help="Where from.")


def test_a_plain_kit_fills_in_paths_only() -> None:
    assert with_settings(registered("x")) == {}
    assert with_settings(Registration("x", Filling, "a:b")) == {"path": "path", "other": "other"}
    with pytest.raises(ConfigError, match=r"settings=url"):
        with_settings(Registration("x", Asking, "a:b"))


def test_a_name_means_connectors_in_the_order_of_a_document() -> None:
    assert [str(target).split(" (")[0] for target in targets_of("loaders")] == [
        "load: append",
        "load: replace",
        "load: upsert",
    ]
    [append] = targets_of("append")
    assert registration_for(append).name == "append"
    assert {target.section for target in targets_of("etl-core")} >= {"load", "state", "executor"}


def test_a_kit_without_clauses_certifies_nothing() -> None:
    names = [clause.name for clause in clauses_of(LoaderConformance)]
    empty = type("Empty", (Mine,), {f"test_{name}": None for name in names})
    listed = tuple(Listed(**each) for each in _listed(empty, "load"))
    outcomes = list(outcomes_of(Job(TARGET, "x:Empty", listed), lambda: cast("Worker", Dying())))
    assert [each.clause.name for each in outcomes] == names
    assert {each.verdict for each in outcomes} == {Verdict.NOT_REACHED}
    assert not certified(outcomes)
    assert not certified([])


def test_nothing_is_shown_where_stderr_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with showing("append", quiet=False) as show:
        show("it_can_be_used")


class Dying:
    """A worker that dies when it is asked anything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def answers(self, request: object, deadline: float) -> list[object]:
        raise Died("with code 1")


def test_when_the_first_clause_is_lost_no_other_is_reached() -> None:
    clauses = tuple(Listed(name, "It works.", "") for name in (FIRST, "another", "a_third"))
    outcomes = list(outcomes_of(Job(TARGET, None, clauses), lambda: cast("Worker", Dying())))
    assert [str(each.verdict) for each in outcomes] == ["FAIL", "NOT REACHED", "NOT REACHED"]
    assert outcomes[0].reason == "the process it ran in ended (with code 1)"
    assert len(list(outcomes_of(Job(TARGET, None, clauses[1:]), lambda: cast("Worker", Dying())))) == 2


def test_a_process_that_dies_while_it_loads_a_kit_is_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match=r"names=append, ended=with code 1"):
        jobs_of([TARGET], {}, cast("Worker", Dying()), 1.0)


def test_a_clause_like_no_other_gets_the_list_of_all() -> None:
    job = Job(TARGET, None, (Listed(FIRST, "It works.", ""),))
    assert _chosen([job], []) == _chosen([job], [FIRST]) == [job]
    with pytest.raises(click.UsageError, match="The clauses are: it_can_be_used"):
        _chosen([job], ["qqqqqqqqqqq"])


def test_a_target_that_is_gone_is_said() -> None:
    with pytest.raises(PluginError, match="the connector is gone"):
        registration_for(attrs.evolve(TARGET, name="nobody"))
