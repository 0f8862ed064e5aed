"""The guide that says why a plugin is not there shows what `list-plugins` prints for such plugins."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "find-a-plugin.md"
GOOD = """
    from attrs import frozen
    from etl_core import Registration, hookimpl

    @frozen
    class Config:
        pass

    @hookimpl
    def etl_register_extract():
        return [Registration("{name}", Config, "etl_{name}.source:Source", "Reads {name}.", api={api})]
"""


def good(name: str, api: int = 1) -> str:
    return GOOD.format(name=name, api=api)


#: What is wrong with the plugin of each name.
PLUGINS = {
    "acme": good("acme"),
    "away": good("away"),
    "crm": "import crm_sdk",
    "later": good("later", api=2),
    "typo": good("typo").replace("etl_register_extract", "etl_register_extrct"),
    "unmarked": good("unmarked").replace("@hookimpl", ""),
    "twin": good("acme"),
}

Run = Callable[..., str]


@pytest.fixture
def listed(run: Run, tmp_path: Path) -> Callable[..., list[str]]:
    """Lay the plugins down as installed ones; call to list them: each line with single spaces."""
    for name, code in PLUGINS.items():
        (tmp_path / f"etl_{name}_plugin.py").write_text(dedent(code))
        info = tmp_path / f"etl_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: etl-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[etl_core]\n{name} = etl_{name}_plugin\n")

    def call(*options: str, **environment: str) -> list[str]:
        program = "from etl_core.cli import main; main()"
        printed = run("-c", program, *options, "list-plugins", PYTHONPATH=str(tmp_path), **environment)
        return [" ".join(line.split()) for line in printed.splitlines()]

    return call


def test_every_line_that_the_guide_shows_is_printed(listed: Callable[..., list[str]]) -> None:
    block = re.search(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block
    shown = [" ".join(line.split()) for line in block[1].splitlines()]
    printed = listed(ETL_DISABLE_PLUGINS="etl-away")
    assert [line for line in shown if not is_among(line, printed)] == []
    assert all(any(f"etl-{name} 1.0" in line for line in shown) for name in PLUGINS)


def is_among(line: str, printed: list[str]) -> bool:
    """Whether a line is printed; one that ends in dots goes on."""
    return line in printed or (line.endswith(" ...") and any(one.startswith(line[:-4]) for one in printed))


def test_blocked_plugins_are_listed_as_such_whatever_blocks_them(listed: Callable[..., list[str]]) -> None:
    for printed in (listed(ETL_LOAD_PLUGINS="etl-twin"), listed("--no-plugins")):
        assert [line for line in printed if " acme blocked etl-acme 1.0 " in line]
        assert [line for line in printed if "etl-core" in line and "active" not in line] == []
