"""The packages that pages for authors show: as `new-plugin` writes them, as short as said, and running."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_core import hookspecs
from etl_core.templates import KINDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "docs" / "examples" / "new-plugin"
SECTIONS = {each.section: kind for kind, each in KINDS.items()}

Run = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path) -> Callable[[str], Path]:
    """Lay a kind's package down as an installed one in the directory `site`; the package itself."""

    def lay(kind: str) -> Path:
        package = tmp_path / "etl-acme"
        shutil.copytree(PACKAGES / kind, package)
        project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
        info = package / "src" / "etl_acme-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: etl-acme\nVersion: 0.1.0\n")
        [(name, value)] = project["entry-points"]["etl_core"].items()
        (info / "entry_points.txt").write_text(f"[etl_core]\n{name} = {value}\n")
        return package

    return lay


def test_the_packages_are_what_new_plugin_writes() -> None:
    command = [sys.executable, str(ROOT / "tools" / "examples.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_kind_for_every_hook() -> None:
    assert set(SECTIONS) == set(hookspecs.HOOKS)


@pytest.mark.parametrize(("kind", "limit"), [("source", 20), ("destination", 25)])
def test_the_shortest_useful_ones_are_short(kind: str, limit: int) -> None:
    text = (PACKAGES / kind / "src" / "etl_acme" / f"{kind}.py").read_text()
    assert len([line for line in text.splitlines() if line.strip()]) <= limit


@pytest.mark.parametrize("section", SECTIONS)
def test_list_plugins_shows_what_the_page_of_a_hook_registers(
    package: Callable[[str], Path], run: Run, section: str
) -> None:
    source = package(SECTIONS[section]) / "src"
    program = "from etl_core.cli import main; main()"
    listed = json.loads(run("-c", program, "list-plugins", "--json", PYTHONPATH=str(source)))
    [mine] = [each for each in listed if each["distribution"] == "etl-acme"]
    assert (mine["status"], mine["api"], mine["error"]) == ("active", 1, None)
    [offer] = mine["connectors"]
    assert (offer["section"], offer["name"]) == (section, "acme")
    assert offer["summary"]


def test_the_document_of_the_source_runs(package: Callable[[str], Path], run: Run) -> None:
    folder = package("source")
    program = "from etl_core.cli import main; main()"
    for _ in range(2):
        run("-c", program, "run", folder / "example.yaml", "--once", PYTHONPATH=str(folder / "src"))
    query = "import duckdb; print(duckdb.connect('etl-acme/example.duckdb').sql('from orders').fetchall())"
    assert run("-c", query).count("apple") == 1


@pytest.mark.parametrize("kind", ["destination", "transform", "loader", "observer", "state"])
def test_the_script_of_the_others_runs(package: Callable[[str], Path], run: Run, kind: str) -> None:
    folder = package(kind)
    assert run(folder / "example.py", PYTHONPATH=str(folder / "src"))


def commands_of(page: str) -> list[list[str]]:
    """Return what a page says to type to make a package and try it, in order."""
    text = (ROOT / "docs" / "how-to" / page).read_text()
    blocks = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    return [shlex.split(line, comments=True) for line in blocks.splitlines()]


@pytest.mark.timeout(180)  # a whole kit twice, and wheels are built
@pytest.mark.parametrize(
    "page", ["write-a-source.md", pytest.param("write-a-destination.md", marks=pytest.mark.slow)]
)
def test_what_a_page_says_to_type_works(tmp_path: Path, page: str) -> None:
    place, site, done = tmp_path, tmp_path / "site", []
    for command in commands_of(page):
        match command:
            case ["python", "-m", "venv", *_] | ["pip", "install", "etl-core", *_]:
                continue  # the environment of the tests has both
            case ["cd", directory]:
                place /= directory
            case ["pip", "install", "-e", ".", "--group", "dev"]:
                install(place, site)
            case [program, *arguments]:
                run_in(place, site, program, arguments)
                done.append(program)
    assert done.count("etl-core") >= 2
    assert "pytest" in done


def install(package: Path, site: Path) -> None:
    where = ["--python", sys.executable, "--target", str(site), "--no-deps"]
    pins = ["--build-constraints", str(ROOT / "tests" / "constraints.txt")]
    command = [shutil.which("uv") or "uv", "pip", "install", "--quiet", *where, *pins, str(package)]
    if subprocess.run([*command, "--offline"], capture_output=True, check=False).returncode != 0:
        subprocess.run(command, check=True)


def run_in(directory: Path, site: Path, program: str, arguments: list[str]) -> None:
    """Run a program of the tests' environment, with what was installed into `site`."""
    start = {
        "python": [],
        "pytest": ["-m", "pytest", "-p", "no:cacheprovider"],
        "etl-core": ["-c", "from etl_core.cli import main; main()"],
    }[program]
    environment = {**os.environ, "PYTHONPATH": str(site), "NO_COLOR": "1"}
    command = [sys.executable, *start, *arguments]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"
