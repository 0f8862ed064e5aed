"""What `new-plugin` writes works at once, for every kind: installed, listed, linted, typed, tested, run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import frozen

from etl_core.templates import KINDS, write

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "tests" / "constraints.txt"
#: The kits that take longest come first, so that the last to end is a short one.
SLOWEST_FIRST = ["executor", "destination", "state", "command", "source", "loader", "transform", "observer"]
EXAMPLES = [kind for kind in KINDS if kind not in {"source", "executor", "command"}]

# One worker makes the packages; the kits, two at a time, may take longer than other tests.
pytestmark = [pytest.mark.xdist_group("scaffold"), pytest.mark.timeout(240)]

Done = subprocess.CompletedProcess[str]


@frozen
class Scaffold:
    """Packages of every kind below `directory`, installed in `site`; `kits` are the runs of their tests."""

    directory: Path
    site: Path
    kits: dict[str, Future[Done]]

    def package(self, kind: str) -> Path:
        return self.directory / f"etl-acme-{kind}"

    def run(self, cwd: Path, *arguments: str | Path) -> Done:
        """Run Python with what is installed here."""
        return python(cwd, self.site, *arguments)

    def etl_core(self, cwd: Path, *arguments: str | Path) -> str:
        done = self.run(cwd, "-c", "from etl_core.cli import main; main()", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def python(cwd: Path, site: Path, *arguments: str | Path) -> Done:
    """Run Python as a stranger would: not measured, which would take half as long again."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(site), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=220,
    )


def install(packages: list[Path], site: Path) -> None:
    """Build and install; ask the network only for what the cache does not have."""
    command = ["uv", "pip", "install", "--quiet", "--no-deps", "--build-constraint", CONSTRAINTS]
    for options in (["--offline"], []):
        where = [*command, *options, "--python", sys.executable, "--target", site, *packages]
        done = subprocess.run(list(map(str, where)), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise AssertionError(done.stderr)


@pytest.fixture(scope="session")
def scaffold(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scaffold]:
    directory = tmp_path_factory.mktemp("scaffold")
    packages = {kind: write(directory / "packages", f"acme-{kind}", kind) for kind in KINDS}
    site = directory / "site"
    install(list(packages.values()), site)
    with ThreadPoolExecutor(2) as pool:
        tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
        kits = {kind: pool.submit(python, packages[kind], site, *tests) for kind in SLOWEST_FIRST}
        yield Scaffold(directory / "packages", site, kits)
        pool.shutdown(cancel_futures=True)


def test_every_kind_is_listed_as_active(scaffold: Scaffold, tmp_path: Path) -> None:
    listed = json.loads(scaffold.etl_core(tmp_path, "list-plugins", "--json"))
    mine = {each["plugin"]: each for each in listed if each["distribution"].startswith("etl-acme-")}
    assert {name: each["status"] for name, each in mine.items()} == {
        f"acme-{kind}": "active" for kind in KINDS
    }
    for kind, facts in KINDS.items():
        [offered] = mine[f"acme-{kind}"]["connectors"]
        assert (offered["section"], offered["name"]) == (facts.section, f"acme-{kind}")


def expect_clean(directory: Path) -> None:
    """Expect ruff to find nothing; each package is held to its own settings, those nearest to it."""
    for command in (["check"], ["format", "--check"]):
        done = python(directory, directory, "-m", "ruff", *command, "--no-cache", ".")
        assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing(scaffold: Scaffold) -> None:
    expect_clean(scaffold.directory)


def test_names_as_long_as_may_be_fit_on_the_lines(tmp_path: Path) -> None:
    """One that begins with a digit makes the longest names of classes."""
    for kind in KINDS:
        write(tmp_path / kind, "3" + "w" * 31, kind)
    expect_clean(tmp_path)


def test_strict_types_hold(scaffold: Scaffold, tmp_path: Path) -> None:
    for kind in KINDS:
        done = scaffold.run(scaffold.package(kind), "-m", "mypy", "--cache-dir", tmp_path / "cache")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", EXAMPLES)
def test_its_example_runs_with_the_core_alone(scaffold: Scaffold, tmp_path: Path, kind: str) -> None:
    done = scaffold.run(tmp_path, scaffold.package(kind) / "example.py")
    assert done.returncode == 0, done.stdout + done.stderr
    told = {
        "destination": "3 rows in fruits@",
        "transform": "'item': '***'",
        "loader": "'item': 'plum'",
        "observer": '"event": "run_finished"',
        "state": "saved: [3]",
    }
    assert told[kind] in done.stdout


def test_the_example_of_a_source_runs_and_resumes(scaffold: Scaffold, tmp_path: Path) -> None:
    package = scaffold.package("source")
    shutil.copy(package / "example.yaml", tmp_path)
    shutil.copytree(package / "example", tmp_path / "example")
    scaffold.etl_core(tmp_path, "check", "example.yaml")
    result = json.loads(scaffold.etl_core(tmp_path, "run", "example.yaml", "--once", "--json"))
    assert result["counts"]["records_written"] == 5
    (tmp_path / "example" / "2026-01-03.csv").write_text("id,item\n6,quince\n")
    again = json.loads(scaffold.etl_core(tmp_path, "run", "example.yaml", "--once", "--json"))
    assert again["counts"]["records_written"] == 1


ALL = """
version: 1
pipeline: all
extract: {use: acme-source, directory: example}
transform: [{use: acme-transform, columns: [item]}]
load: {use: acme-loader}
destination: {use: acme-destination, directory: out}
observability: [{use: acme-observer, path: events.jsonl}]
state: {use: acme-state, directory: state}
"""


def test_all_of_them_work_together(scaffold: Scaffold, tmp_path: Path) -> None:
    from pyarrow import feather

    (tmp_path / "all.yaml").write_text(ALL)
    (tmp_path / "out").mkdir()
    shutil.copytree(scaffold.package("source") / "example", tmp_path / "example")
    scaffold.etl_core(tmp_path, "run", "all.yaml", "--once", "--executor", "acme-executor")
    tables = [feather.read_table(file) for file in sorted((tmp_path / "out").iterdir())]
    rows = [row for table in tables for row in table.to_pylist()]
    assert [(row["id"], row["item"]) for row in rows] == [(n, "***") for n in range(1, 6)]
    assert {row["_etl_day"] for row in rows} == {None}
    events = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert (events[0], events[-1]) == ("run_started", "run_finished")
    listed = json.loads(scaffold.etl_core(tmp_path, "acme-command", "all.yaml", "--json"))
    assert {each["use"] for each in listed} == {
        f"acme-{kind}" for kind in KINDS if kind not in {"executor", "command"}
    }


def test_it_can_be_certified(scaffold: Scaffold, tmp_path: Path) -> None:
    assert "acme-transform: certified" in scaffold.etl_core(tmp_path, "certify", "acme-transform")


@pytest.mark.parametrize("kind", SLOWEST_FIRST[::-1])
def test_its_own_tests_pass(scaffold: Scaffold, kind: str) -> None:
    done = scaffold.kits[kind].result()
    assert done.returncode == 0, done.stdout + done.stderr
