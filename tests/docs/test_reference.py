"""The reference says everything: every hook with its signature, every setting with a sentence."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

from etl_core import events, hookspecs, interfaces
from etl_core.plugins import installed
from etl_core.testing.certify.kits import KITS, plain_kit
from etl_core.testing.clauses import clauses_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(generate: ModuleType) -> dict[str, str]:
    result: dict[str, str] = generate.pages()
    return result


@pytest.mark.parametrize("hook", hookspecs.HOOKS.values())
def test_every_hook_is_there_with_its_exact_signature_and_a_sentence(
    pages: dict[str, str], hook: str
) -> None:
    function = getattr(hookspecs, hook)
    assert f"def {hook}() -> Sequence[Registration]" in pages["hooks.md"]
    assert str(inspect.signature(function)) == "() -> 'Sequence[Registration]'"
    sentence = inspect.getdoc(function)
    assert sentence
    assert sentence in pages["hooks.md"]


def test_every_hook_of_the_specification_is_in_the_table_of_hooks() -> None:
    specified = {name for name in vars(hookspecs) if name.startswith("etl_register_")}
    assert specified == set(hookspecs.HOOKS.values())


def settings(generate: ModuleType) -> Iterator[tuple[str, Any]]:
    configs = [cls for _, cls in generate.ENGINE_SETTINGS]
    for section in generate.SECTIONS:
        configs += [offer.config for offer, _ in installed().connectors(section) if offer.config]
    for cls in configs:
        for each in attrs.fields(cls):
            yield f"{cls.__qualname__}.{each.name}", each


def test_every_setting_has_a_sentence(generate: ModuleType) -> None:
    silent = [name for name, each in settings(generate) if not each.metadata.get("help", "").endswith(".")]
    assert silent == []


def test_every_setting_is_on_a_page(generate: ModuleType, pages: dict[str, str]) -> None:
    text = pages["document.md"] + pages["connectors.md"]
    assert [name for name, each in settings(generate) if f"| `{each.alias}` |" not in text] == []


def test_every_connector_is_described(pages: dict[str, str], generate: ModuleType) -> None:
    for section in generate.SECTIONS:
        for offer, _ in installed().connectors(section):
            assert offer.summary, offer.name
            assert f"### `{offer.name}`" in pages["connectors.md"]


@pytest.mark.parametrize("section", KITS)
def test_every_clause_of_every_kit_is_there(pages: dict[str, str], section: str) -> None:
    page = pages["conformance.md"]
    assert f"## `{KITS[section]}`" in page
    for clause in clauses_of(plain_kit(section)):
        assert f"`{clause.name}`\n: " in page
        assert clause.promise.endswith("."), clause.name


def test_every_method_of_an_interface_states_its_contract(pages: dict[str, str]) -> None:
    for name in interfaces.__all__:
        cls = getattr(interfaces, name)
        for method in [each for each in vars(cls) if not each.startswith("_")]:
            function = getattr(cls, method)
            if inspect.isfunction(function) and name not in ("Cancel", "Metrics", "Runner"):
                assert inspect.getdoc(function), f"{name}.{method}"
                assert f"def {method}(" in pages["interfaces.md"]


def test_events_errors_and_commands_are_listed(pages: dict[str, str]) -> None:
    assert all(f"| `{name}` |" in pages["events.md"] for name in events.EVENTS)
    assert "## `PositionLostError`" in pages["errors.md"]
    assert "Exit code 4." in pages["errors.md"]
    assert "## `etl-core run`" in pages["commands.md"]


def test_pages_are_written_once(
    generate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "OUTPUT", tmp_path / "generated")
    generate.write()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "generated").iterdir()}
    generate.write()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "generated").iterdir()} == before
    assert set(generate.pages()) == {path.name for path in before}


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=str)
def test_pages_name_settings_that_exist(page: Path, pages: dict[str, str]) -> None:
    """A setting written like `load.commit` or `extract.slot` in prose is one of the reference."""
    known = set(re.findall(r"^\| `(\w+)` \|", pages["document.md"] + pages["connectors.md"], re.MULTILINE))
    sections = "extract|load|destination|state|retry|resources"
    named = re.findall(rf"`(?:{sections})\.(\w+)(?:\.(\w+))?", page.read_text(encoding="utf-8"))
    used = {part for parts in named for part in parts if part} - {"use", "py"}  # `state.py` is a file
    assert used <= known
