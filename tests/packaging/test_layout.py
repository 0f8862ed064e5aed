"""The workspace's own rules: every member is under every gate, and the gates do their work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
MEMBERS = [ROOT / "core" / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
PACKAGES = {
    path.parent.name: next((path.parent / "src").glob("*/__init__.py")).parent.name for path in MEMBERS
}


def test_every_member_is_installed_by_default_and_measured_and_held_by_the_import_rules() -> None:
    names = {tomllib.loads(path.read_text())["project"]["name"] for path in MEMBERS}
    wanted = {name.partition("[")[0] for name in PROJECT["project"]["dependencies"]}
    assert wanted == names
    assert set(PROJECT["tool"]["coverage"]["run"]["source_pkgs"]) == set(PACKAGES.values())
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == set(PACKAGES.values())
    assert set(PROJECT["tool"]["coverage"]["paths"]) == set(PACKAGES)
    sources = {str((path.parent / "src").relative_to(ROOT)) for path in MEMBERS}
    assert set(PROJECT["tool"]["mypy"]["mypy_path"]) == {*sources, "tests"}


@pytest.mark.parametrize(
    "contract", PROJECT["tool"]["importlinter"]["contracts"], ids=lambda each: each["name"]
)
def test_contracts_about_plugins_name_every_plugin(contract: dict[str, Any]) -> None:
    plugins = set(PACKAGES.values()) - {"etl_core"}
    named = set(contract.get("forbidden_modules", [])) & plugins
    sources = set(contract.get("source_modules", contract.get("modules", []))) & plugins
    if named:
        assert named | sources == plugins
    elif contract["type"] == "independence":
        assert sources == plugins - {"etl_pglib"}
    elif sources:
        assert sources == plugins


def test_every_plugin_has_an_environment_of_its_own() -> None:
    text = (ROOT / "tox.ini").read_text()
    assert all(f"\n    {name}: python tools/install_wheels.py" in text for name in PACKAGES if name != "core")


def test_every_connector_is_held_to_the_kit_with_nothing_else_installed() -> None:
    text = (ROOT / "tox.ini").read_text()
    kits = [
        path
        for path in MEMBERS
        if "etl_core" in tomllib.loads(path.read_text())["project"].get("entry-points", {})
    ]
    names = {path.parent.name for path in kits}
    listed = re.findall(r"^    conformance = (.*)$", text, re.MULTILINE)
    assert set(listed[0].split(", ")) == {f"conformance-{name}" for name in names}
    environments = re.findall(r"^\[testenv:conformance-\{(.*)\}\]$", text, re.MULTILINE)
    assert set(environments[0].split(",")) == names
    for path in kits:
        tests = ROOT / "tests" / "core" / "testing" if path.parent.name == "core" else path.parent / "tests"
        assert list(tests.glob("test_*conformance.py")), path


def test_no_settings_of_pins_name_an_index() -> None:
    lines = (ROOT / "tests" / "constraints.txt").read_text().splitlines()[1:]
    assert all("==" in line for line in lines)
    assert not [line for line in lines if "://" in line or line.startswith("-")]


def gate(tmp_path: Path, files: dict[str, float]) -> subprocess.CompletedProcess[str]:
    report = tmp_path / "coverage.json"
    data = {
        name: {"summary": {"percent_covered": percent}, "missing_lines": [3]}
        for name, percent in files.items()
    }
    report.write_text(json.dumps({"files": data}))
    command = [sys.executable, str(ROOT / "tools" / "coverage_gate.py"), str(report)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_gate_passes_when_every_file_is_covered(tmp_path: Path) -> None:
    assert gate(tmp_path, {"a.py": 90.0, "b.py": 100.0}).returncode == 0


def test_the_gate_fails_for_one_poor_file_and_names_its_lines(tmp_path: Path) -> None:
    done = gate(tmp_path, {"a.py": 89.9, "b.py": 100.0})
    assert done.returncode == 1
    assert "a.py  missing: 3" in done.stdout
    assert "b.py" not in done.stdout


def test_the_gate_fails_when_nothing_was_measured(tmp_path: Path) -> None:
    assert gate(tmp_path, {}).returncode == 1
