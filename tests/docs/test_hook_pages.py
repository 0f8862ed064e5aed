"""Every hook has a page of its own: exact signature, docstring, a whole example, the kit, the contract."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import etl_core.testing
from etl_core import hookspecs
from etl_core.testing.base import Conformance

PAGES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "hooks"


def page_of(section: str) -> str:
    return (PAGES / f"{section}.md").read_text(encoding="utf-8")


def test_there_is_a_page_for_every_hook_and_no_other() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {"index", *hookspecs.HOOKS}
    index = page_of("index")
    for section, hook in hookspecs.HOOKS.items():
        assert f"[`{hook}`]({section}.md)" in index


@pytest.mark.parametrize(("section", "hook"), hookspecs.HOOKS.items())
def test_it_shows_the_exact_signature_and_says_what_the_hook_says(section: str, hook: str) -> None:
    function = getattr(hookspecs, hook)
    signature = str(inspect.signature(function)).replace("'", "")
    page = page_of(section)
    assert page.startswith(f"# `{hook}`\n\n```python\ndef {hook}{signature}\n```\n")
    assert f"\n\n{inspect.getdoc(function)}\n\n" in page
    assert f"Section or role: `{section}`." in page


@pytest.mark.parametrize("section", hookspecs.HOOKS)
def test_it_names_the_kit_that_is_for_it(section: str) -> None:
    found = re.search(r"Kit:\s\[`(\w+)`\]", page_of(section))
    assert found
    kit: type[Conformance] = getattr(etl_core.testing, found[1])
    assert kit.section == section
    assert f"| `{found[1]}` |" in page_of("index")


@pytest.mark.parametrize("section", hookspecs.HOOKS)
def test_its_example_is_a_whole_plugin(section: str) -> None:
    shown = re.findall(r"```{literalinclude} (\S+)", page_of(section))
    files = [(PAGES / path).resolve() for path in shown]
    assert all(file.exists() for file in files)
    assert files[0].name == "plugin.py"
    text = files[0].read_text(encoding="utf-8")
    assert f"def {hookspecs.HOOKS[section]}() -> Sequence[Registration]:" in text
    named = re.search(r'"etl_acme\.(\w+):', text)
    assert named
    assert named[1] in {file.stem for file in files}
