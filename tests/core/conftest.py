"""Fixtures of the core's tests: packages that are installed for one test only."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from etl_core import plugins

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install distributions as pip would lay them out: `install("etl-x", code, version=, entry=)`.

    The module `<name>_plugin` holds `code`; what a test installed is gone after it.
    """
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def add(distribution: str, code: str, *, version: str = "1.0", entry: str | None = None) -> None:
        module = distribution.replace("-", "_") + "_plugin"
        (site / f"{module}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: for a test\n"
        (info / "METADATA").write_text(head, encoding="utf-8")
        point = f"[etl_core]\n{distribution.removeprefix('etl-')} = {entry or module}\n"
        (info / "entry_points.txt").write_text(point, encoding="utf-8")
        plugins._discover.cache_clear()

    yield add
    plugins._discover.cache_clear()
    for module in set(sys.modules) - before:
        if str(getattr(sys.modules[module], "__file__", "")).startswith(str(site)):
            del sys.modules[module]
