"""What the pages for authors state is so: numbers, pins, names of clauses, kits and settings of kits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import etl_core
import etl_core.testing
from etl_core import deprecations
from etl_core.deprecations import Deprecation
from etl_core.hookspecs import ENTRY_POINT_GROUP
from etl_core.templates import render
from etl_core.testing.base import Conformance
from etl_core.testing.certify.kits import GROUP, KITS
from etl_core.testing.clauses import clauses_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
STABILITY = (DOCS / "reference" / "stability.md").read_text(encoding="utf-8")
DELIVERY = (DOCS / "explanation" / "delivery-for-authors.md").read_text(encoding="utf-8")


def kits() -> Iterator[type[Conformance]]:
    for name in KITS.values():
        yield getattr(etl_core.testing, name)


def test_the_policy_names_the_contract_of_today() -> None:
    assert f"`etl_core.API`, now {etl_core.API}." in STABILITY
    assert f"`{ENTRY_POINT_GROUP}`" in STABILITY
    assert f"`{GROUP}`" in STABILITY
    assert {"errors", "testing"} <= set(re.findall(r"`etl_core\.(\w+)`", STABILITY))


def test_the_policy_shows_the_pin_that_new_plugin_writes() -> None:
    [pin] = re.findall(r'"(etl-core>=[^"]+)"', STABILITY)
    assert pin in render("etl-acme", "source")["pyproject.toml"]


def test_the_policy_shows_the_warning_as_it_is_and_every_name_that_goes() -> None:
    shown = Deprecation("etl_core.Strom", "a:b", "0.2", "0.4", "use etl_core.Stream")
    assert f"EtlDeprecationWarning: {shown}\n" in STABILITY
    assert [one.name for one in deprecations.NAMES.values() if one.name not in STABILITY] == []
    assert ("Nothing is deprecated today." in STABILITY) == (not deprecations.NAMES)


def test_clauses_that_are_named_are_clauses() -> None:
    known = {clause.name for kit in kits() for clause in clauses_of(kit)}
    lists = re.findall(r"^\[Clauses?\]\(\S+\):(.*?)\n(?:\n|\Z)", DELIVERY, re.MULTILINE | re.DOTALL)
    named = [name for each in lists for name in re.findall(r"`([^`]+)`", each)]
    assert len(named) > 30
    assert [name for name in named if name not in known] == []


@pytest.mark.parametrize("page", ["reference/stability.md", "how-to/test-a-connector.md"])
def test_kits_that_are_named_exist(page: str) -> None:
    named = set(re.findall(r"\b(\w+Conformance)\b", (DOCS / page).read_text(encoding="utf-8")))
    assert named - {"AcmeConformance"} <= set(etl_core.testing.__all__)
