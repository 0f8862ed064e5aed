"""What the documentation shows is run: every example file, and the files that README embeds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
TWO = EXAMPLES / "two-packages"
GREETINGS = [(n, f"hello {n}") for n in range(5)]
SHOUTED = [(n, f"HELLO {n}") for n in range(5)]

Run = Callable[..., str]


def rows(path: Path) -> list[tuple[int, str]]:
    """Return the greetings in a database."""
    import duckdb

    with duckdb.connect(str(path)) as database:
        return database.sql("select n, text from greetings order by n").fetchall()


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """The document of the two packages, where this test runs."""
    return Path(shutil.copy(TWO / "hello.yaml", tmp_path))


def test_the_package_of_examples_is_found_as_a_plugin(etl_core: Run) -> None:
    listed = json.loads(etl_core("list-plugins", "--json"))
    [mine] = [each for each in listed if each["distribution"] == "etl-hello"]
    offers = {(c["section"], c["name"]) for c in mine["connectors"]}
    assert offers == {("extract", "hello"), ("transform", "shout")}
    assert (mine["status"], mine["api"]) == ("active", 1)
    assert "How many greetings." in etl_core("describe", "hello")


def test_the_connectors_of_the_examples_are_certified(etl_core: Run) -> None:
    assert etl_core("certify", "etl-hello").splitlines()[-1].startswith("etl-hello: certified (")


def test_the_source_with_a_mistake_is_caught_as_the_guide_shows(run: Run) -> None:
    assert run(EXAMPLES / "forgetful.py") == (EXAMPLES / "forgetful.txt").read_text()


def test_the_example_document_runs_and_resumes(etl_core: Run, document: Path) -> None:
    target = document.parent / "greetings.duckdb"
    etl_core("run", document, "--once")
    assert rows(target) == SHOUTED
    document.write_text(document.read_text().replace("count: 5", "count: 6"))
    etl_core("run", document, "--once")
    assert rows(target) == [*SHOUTED, (5, "HELLO 5")]


def test_the_host_lists_plugins_and_runs_what_lies_in_a_directory(
    run: Run, site: Path, document: Path
) -> None:
    nightly = site / "bin" / "nightly"
    assert "etl-hello 0.1.0 active: hello, shout" in run(nightly, "plugins").splitlines()
    second = document.with_name("second.yaml")
    changes = {"pipeline: hello": "pipeline: second", "count: 5": "count: 2", "greetings": "others"}
    for old, new in changes.items():
        second.write_text((second if second.exists() else document).read_text().replace(old, new))
    assert run(nightly, "run", document.parent).splitlines() == ["hello 5", "second 2"]
    assert rows(document.with_name("greetings.duckdb")) == SHOUTED
    assert rows(document.with_name("others.duckdb")) == SHOUTED[:2]
    second.write_text(second.read_text().replace("count: 2", "count: 1"))
    hello, failed = run(nightly, "run", document.parent, code=1).splitlines()
    assert hello.startswith("hello ")
    assert failed == "second there are not as many greetings (count=1)"
    second.write_text(second.read_text().replace("use: hello", "use: halo"))
    run(nightly, "run", document.parent, code=1)


def test_a_pipeline_is_built_and_run_in_ten_lines_of_python(run: Run, tmp_path: Path) -> None:
    script = EXAMPLES / "ten_lines.py"
    assert len([line for line in script.read_text().splitlines() if line]) <= 10
    assert run(script).startswith("5 rows in ")
    assert rows(tmp_path / "greetings.duckdb") == GREETINGS


def test_many_pipelines_run_in_a_manager(run: Run, tmp_path: Path) -> None:
    assert run(EXAMPLES / "many.py").splitlines() == ["hello-1 1", "hello-2 2", "hello-3 3"]
    assert rows(tmp_path / "greetings-3.duckdb") == GREETINGS[:3]


def test_a_document_is_run_from_python(run: Run, document: Path) -> None:
    printed = run(EXAMPLES / "run_document.py", document)
    assert "'event': 'run_finished'" in printed
    assert "'records_written': 5" in printed


def test_dead_letters_are_read_from_python(etl_core: Run, run: Run, document: Path) -> None:
    etl_core("run", document, "--once")
    assert run(EXAMPLES / "dead_letters.py", document.parent / "state.db", "hello") == ""


@pytest.mark.parametrize("name", ["shop", "history"])
def test_documents_about_the_shop_run_against_postgresql(
    pg: Any, tmp_path: Path, run: Run, etl_core: Run, name: str
) -> None:
    tutorial = (ROOT / "docs" / "tutorial.md").read_text()
    sql = re.search(r"```sql\n(.*?)```", tutorial, re.DOTALL)
    assert sql
    for statement in sql[1].split(";"):
        if statement.strip():
            pg.execute(statement)
    shutil.copy(EXAMPLES / f"{name}.yaml", tmp_path)
    environment = {"SHOP_DSN": pg.dsn}
    etl_core("check", f"{name}.yaml", **environment)
    etl_core("run", f"{name}.yaml", "--once", **environment)
    pg.execute("update orders set note = 'late' where id <= 10")
    etl_core("run", f"{name}.yaml", "--once", **environment)
    query = "select count(*), count(note), min(total), max(total) from public.orders"
    database = "shop.duckdb" if name == "shop" else "history.duckdb"
    print_query = f"import duckdb; print(duckdb.connect({database!r}).execute({query!r}).fetchone())"
    rows = "10000" if name == "shop" else "10010"
    expected = f"({rows}, 10, Decimal('1.50'), Decimal('15000.00'))"
    assert run("-c", print_query).strip() == expected
    etl_core("teardown", "--yes", f"{name}.yaml", **environment)
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
