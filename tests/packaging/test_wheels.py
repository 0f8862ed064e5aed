"""The wheels as a user installs them: alone, beside one another, and taken away again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv") or "uv"

pytestmark = pytest.mark.xdist_group("wheels")


def uv(*arguments: str | Path) -> None:
    """Run uv; ask the network only for what the cache does not have."""
    for options in (["--offline"], []):
        command = [UV, *map(str, arguments), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(done.stderr)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every wheel of the workspace by distribution."""
    directory = tmp_path_factory.mktemp("wheels")
    uv(
        "build",
        "--all-packages",
        "--wheel",
        "--build-constraint",
        "tests/constraints.txt",
        "--out-dir",
        directory,
    )
    return {path.name.split("-")[0].replace("_", "-"): path for path in directory.glob("*.whl")}


class Environment:
    """A virtual environment with nothing in it."""

    def __init__(self, directory: Path) -> None:
        uv("venv", "--quiet", "--python", sys.executable, directory)
        self.scripts = directory / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.scripts / "python"

    def install(self, *wheels: Path) -> None:
        constraints = ROOT / "tests" / "constraints.txt"
        uv("pip", "install", "--quiet", "--python", self.python, "--constraint", constraints, *wheels)

    def uninstall(self, name: str) -> None:
        uv("pip", "uninstall", "--quiet", "--python", self.python, name)

    def etl_core(self, *arguments: str) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        return subprocess.check_output([self.scripts / "etl-core", *arguments], text=True, env=environment)

    def plugins(self) -> dict[str, str]:
        listed: list[dict[str, Any]] = json.loads(self.etl_core("list-plugins", "--json"))
        return {each["distribution"]: each["status"] for each in listed}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def test_a_plugin_appears_with_its_wheel_and_vanishes_with_it(
    environment: Environment, wheels: dict[str, Path]
) -> None:
    environment.install(wheels["etl-core"])
    assert environment.plugins() == {"etl-core": "active"}
    environment.install(wheels["etl-duckdb"])
    assert environment.plugins() == {"etl-core": "active", "etl-duckdb": "active"}
    assert "memory_limit" in environment.etl_core("describe", "duckdb")
    environment.uninstall("etl-duckdb")
    assert environment.plugins() == {"etl-core": "active"}


def test_every_member_of_the_workspace_is_a_wheel_with_types_and_metadata(wheels: dict[str, Path]) -> None:
    members = [ROOT / "core", *(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]
    assert len(wheels) == len(members)
    for name, path in wheels.items():
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            (metadata_path,) = [each for each in names if each.endswith(".dist-info/METADATA")]
            metadata = Parser().parsestr(archive.read(metadata_path).decode())
        assert metadata["Name"] == name
        assert metadata["Summary"]
        assert metadata["License-Expression"] == "Apache-2.0"
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata.get_payload(), f"{name} has no README"
        assert f"{name.replace('-', '_')}/py.typed" in names
        assert not [each for each in names if each.endswith(".py") and Path(each).name.startswith("test_")]


def _is_made(path: Path) -> bool:
    """Whether a file beside the sources is what tools made of them."""
    return "__pycache__" in path.parts or ".egg-info" in str(path) or path.suffix in {".pyc", ".so", ".pyd"}


def test_the_core_wheel_has_what_is_not_python_too(wheels: dict[str, Path]) -> None:
    """Templates and SQL files are data: a wheel without them fails at run time only."""
    for name, path in wheels.items():
        folder = "core" if name == "etl-core" else f"plugins/{name.removeprefix('etl-')}"
        source = ROOT / folder / "src"
        files = {
            str(each.relative_to(source))
            for each in source.rglob("*")
            if each.is_file() and not _is_made(each)
        }
        with zipfile.ZipFile(path) as archive:
            assert files <= set(archive.namelist())
