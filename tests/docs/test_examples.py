"""What the documentation shows is run: every example file, and the files that README embeds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    """The example package, installed for child processes of this test; the directory to run in."""
    site = tmp_path / "site"
    shutil.copytree(EXAMPLES / "hello", site)
    project = tomllib.loads((site / "pyproject.toml").read_text())["project"]
    info = site / f"etl_hello-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["etl_core"].items())
    (info / "entry_points.txt").write_text(f"[etl_core]\n{points}")
    return tmp_path


def run(directory: Path, *arguments: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory / "site"), "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def etl_core(directory: Path, *arguments: str | Path) -> str:
    return run(directory, "-c", "from etl_core.cli import main; main()", *arguments)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


GREETINGS = [{"n": n, "text": f"hello {n}"} for n in range(5)]
SHOUTED = [{"n": n, "text": f"HELLO {n}"} for n in range(5)]


def test_the_package_of_examples_is_found_as_plugins(hello: Path) -> None:
    listed = json.loads(etl_core(hello, "list-plugins", "--json"))
    mine = [each for each in listed if each["distribution"] == "etl-hello"]
    offers = {(c["section"], c["name"]) for each in mine for c in each["connectors"]}
    assert offers == {("extract", "hello"), ("transform", "shout"), ("destination", "lines")}
    assert {each["status"] for each in mine} == {"active"}
    assert "How many greetings." in etl_core(hello, "describe", "hello")


def test_the_example_document_runs_and_resumes(hello: Path) -> None:
    document = hello / "hello.yaml"
    shutil.copy(EXAMPLES / "hello" / "hello.yaml", document)
    etl_core(hello, "run", document, "--once")
    assert lines(hello / "greetings.jsonl") == SHOUTED
    document.write_text(document.read_text().replace("count: 5", "count: 6"))
    etl_core(hello, "run", document, "--once")
    assert lines(hello / "greetings.jsonl") == [*SHOUTED, {"n": 5, "text": "HELLO 5"}]


def test_a_pipeline_is_built_and_run_in_ten_lines_of_python(hello: Path) -> None:
    script = EXAMPLES / "hello" / "ten_lines.py"
    assert len([line for line in script.read_text().splitlines() if line]) <= 10
    assert run(hello, script).startswith("5 rows in ")
    assert lines(hello / "greetings.jsonl") == GREETINGS


def test_many_pipelines_run_in_a_manager(hello: Path) -> None:
    assert run(hello, EXAMPLES / "hello" / "many.py").splitlines() == ["hello-1 1", "hello-2 2", "hello-3 3"]
    assert lines(hello / "greetings-3.jsonl") == GREETINGS[:3]


def test_a_document_is_run_from_python(hello: Path) -> None:
    shutil.copy(EXAMPLES / "hello" / "hello.yaml", hello / "hello.yaml")
    printed = run(hello, EXAMPLES / "run_document.py", hello / "hello.yaml")
    assert "'event': 'run_finished'" in printed
    assert "'records_written': 5" in printed


def test_dead_letters_are_read_from_python(hello: Path) -> None:
    shutil.copy(EXAMPLES / "hello" / "hello.yaml", hello / "hello.yaml")
    etl_core(hello, "run", "hello.yaml", "--once")
    assert run(hello, EXAMPLES / "dead_letters.py", hello / "state.db", "hello") == ""


@pytest.mark.parametrize("name", ["shop", "history"])
def test_documents_about_the_shop_run_against_postgresql(pg: Any, tmp_path: Path, name: str) -> None:
    tutorial = (ROOT / "docs" / "tutorial.md").read_text()
    sql = re.search(r"```sql\n(.*?)```", tutorial, re.DOTALL)
    assert sql
    for statement in sql[1].split(";"):
        if statement.strip():
            pg.execute(statement)
    shutil.copy(EXAMPLES / f"{name}.yaml", tmp_path)
    environment = {"SHOP_DSN": pg.dsn}
    script = "from etl_core.cli import main; main()"
    run(tmp_path, "-c", script, "check", f"{name}.yaml", **environment)
    run(tmp_path, "-c", script, "run", f"{name}.yaml", "--once", **environment)
    pg.execute("update orders set note = 'late' where id <= 10")
    run(tmp_path, "-c", script, "run", f"{name}.yaml", "--once", **environment)
    query = "select count(*), count(note), min(total), max(total) from public.orders"
    database = "shop.duckdb" if name == "shop" else "history.duckdb"
    print_query = f"import duckdb; print(duckdb.connect({database!r}).execute({query!r}).fetchone())"
    rows = "10000" if name == "shop" else "10010"
    expected = f"({rows}, 10, Decimal('1.50'), Decimal('15000.00'))"
    assert run(tmp_path, "-c", print_query).strip() == expected
    run(tmp_path, "-c", script, "teardown", "--yes", f"{name}.yaml", **environment)
    assert pg.query(f"select 1 from pg_replication_slots where database = '{pg.name}'") == []


def test_readme_shows_the_files_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "embed.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- file: ") == 2
    assert len((EXAMPLES / "shop.yaml").read_text().splitlines()) <= 21


def test_readme_links_lead_to_files() -> None:
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), target


def test_every_yaml_of_the_guides_is_a_part_of_a_document() -> None:
    import yaml

    sections = {
        "version",
        "pipeline",
        "extract",
        "transform",
        "load",
        "destination",
        "observability",
        "state",
    }
    for page in (ROOT / "docs").rglob("*.md"):
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            assert set(yaml.safe_load(block)) <= sections, page
