"""`etl-core new-plugin`: names, what is written, when nothing is. `test_scaffold.py` shows that it works."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import Result

from etl_core import templates
from etl_core.cli import new_plugin
from etl_core.errors import ConfigError
from etl_core.templates import KINDS, Name, render, write

Run = Callable[..., Result]
Install = Callable[..., None]


def test_it_writes_a_package_and_says_what_to_type_next(run: Run, tmp_path: Path) -> None:
    done = run("new-plugin", "etl-acme", "--kind", "source", "--directory", tmp_path)
    assert done.exit_code == 0, done.output
    package = tmp_path / "etl-acme"
    assert (package / "src" / "etl_acme" / "source.py").is_file()
    assert (package / "src" / "etl_acme" / "py.typed").read_text() == ""
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert f"made {package}:" in lines
    assert {"src/etl_acme/source.py", ".gitignore", "tests/test_conformance.py"} <= set(lines)
    assert lines[lines.index("next:") + 1] == f"cd {package}"
    assert lines[-3:] == ["pytest", "etl-core list-plugins", "etl-core certify acme"]


def test_json_has_the_directory_the_files_and_the_next_commands(run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there yet"
    done = run("new-plugin", "acme", "--kind", "command", "--directory", directory, "--json")
    told = json.loads(done.stdout)
    package = directory / "etl-acme"
    assert told["directory"] == str(package)
    assert told["files"] == sorted(
        str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()
    )
    assert told["next"][0] == f"cd '{package}'"
    assert "src/etl_acme/config.py" not in told["files"]


@pytest.mark.parametrize(("pip", "command"), [(object(), "pip install"), (None, "uv pip install")])
def test_the_installer_named_is_one_that_is_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pip: object, command: str
) -> None:
    monkeypatch.setattr(new_plugin, "find_spec", lambda name: pip)
    done = run("new-plugin", "acme", "--kind", "loader", "--directory", tmp_path, "--json")
    assert json.loads(done.stdout)["next"][1] == f"{command} -e . --group dev"


@pytest.mark.parametrize(
    ("text", "distribution", "module", "connector", "stem"),
    [
        ("acme", "etl-acme", "etl_acme", "acme", "Acme"),
        ("Etl_My.Thing", "etl-my-thing", "etl_my_thing", "my-thing", "MyThing"),
        ("3scale", "etl-3scale", "etl_3scale", "3scale", "Etl3scale"),
    ],
)
def test_a_name_is_spelt_as_distributions_modules_and_classes_are(
    text: str, distribution: str, module: str, connector: str, stem: str
) -> None:
    name = Name.parse(text)
    assert (name.distribution, name.module, name.connector, name.stem) == (
        distribution,
        module,
        connector,
        stem,
    )


@pytest.mark.parametrize("name", ["", "-acme", "acme!", "a/b", "..", "täbelle", "a" * 33, "etl-core", "core"])
def test_names_that_will_not_do_are_refused(run: Run, tmp_path: Path, name: str) -> None:
    done = run("new-plugin", "--kind", "source", "--directory", tmp_path, "--", name)
    assert done.exit_code == 2
    assert "hint: " in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_kind_that_does_not_exist_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    done = run("new-plugin", "acme", "--kind", "sink", "--directory", tmp_path)
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])


SOMEBODY = """
    import attrs
    from etl_core import Registration, hookimpl
    @attrs.frozen
    class Nothing: pass
    @hookimpl
    def etl_register_extract():
        return [Registration("acme", Nothing, "x:y", api=1)]
"""


def test_a_name_that_a_document_could_not_tell_apart_is_refused(
    run: Run, install: Install, tmp_path: Path
) -> None:
    install("etl-somebody", SOMEBODY)
    place = tmp_path / "new"
    done = run("new-plugin", "acme", "--kind", "source", "--directory", place)
    assert (done.exit_code, place.exists()) == (2, False)
    assert "distribution: etl-somebody" in done.stderr
    assert run("new-plugin", "acme", "--kind", "transform", "--directory", place).exit_code == 0


def test_a_package_that_is_installed_can_be_written_again(run: Run, install: Install, tmp_path: Path) -> None:
    install("etl-acme", SOMEBODY)
    assert run("new-plugin", "acme", "--kind", "source", "--directory", tmp_path / "new").exit_code == 0


@pytest.mark.parametrize("name", ["run", "new-plugin"])
def test_a_command_cannot_have_the_name_of_one_of_ours(run: Run, tmp_path: Path, name: str) -> None:
    done = run("new-plugin", name, "--kind", "command", "--directory", tmp_path)
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])


def test_what_is_there_is_left_alone(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "etl-acme" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = run("new-plugin", "acme", "--kind", "source", "--directory", tmp_path)
    assert (done.exit_code, "something is there already" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.rglob("*")] == ["etl-acme", "mine.txt"]
    (tmp_path / "etl-other").write_text("a file")
    assert run("new-plugin", "other", "--kind", "source", "--directory", tmp_path).exit_code == 2


def test_an_empty_directory_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "etl-acme").mkdir()
    package = write(tmp_path, "acme", "observer")
    assert (package / "pyproject.toml").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["etl-acme"]


def test_a_place_that_cannot_be_written_is_said_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("new-plugin", "acme", "--kind", "source", "--directory", tmp_path / "file" / "below")
    assert (done.exit_code, "the package cannot be written" in done.stderr) == (2, True)
    assert "--directory" in done.stderr


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def fill(path: Path, *_: object, **__: object) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(ConfigError) as raised:
        write(tmp_path, "acme", "source")
    assert raised.value.facts["cause"] == "No space left on device"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_of_a_template_is_filled(kind: str) -> None:
    for path, text in render("etl-other-thing", kind).items():
        assert not any("acme" in part.lower() for part in (path, text)), path
        assert "$" not in text, path
        assert text.endswith("\n") or not text, path


def test_a_name_that_contains_words_of_a_template_is_put_in_once() -> None:
    files = render("etl-acme-kind", "source")
    assert 'name = "etl-acme-kind"' in files["pyproject.toml"]
    assert "from etl_acme_kind.config import AcmeKindConfig" in files["src/etl_acme_kind/source.py"]
    assert '"etl_acme_kind.source:AcmeKindSource"' in files["src/etl_acme_kind/plugin.py"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_for_this_minor_version_of_the_core_and_the_next(kind: str) -> None:
    project = tomllib.loads(render("acme", kind)["pyproject.toml"])["project"]
    major, minor = map(int, version("etl-core").split(".")[:2])
    assert f"etl-core>={major}.{minor},<{major}.{minor + 2}" in project["dependencies"]
    assert project["entry-points"]["etl_core"] == {"acme": "etl_acme.plugin"}
    assert project["entry-points"]["etl_core_conformance"] == {"acme": "etl_acme.conformance:AcmeConformance"}


@pytest.mark.parametrize(("kind", "most"), [("source", 20), ("destination", 25)])
def test_the_shortest_connectors_stay_short(kind: str, most: int) -> None:
    lines = render("acme", kind)[f"src/etl_acme/{kind}.py"].splitlines()
    assert len([line for line in lines if line.strip()]) <= most


def test_templates_are_no_sources_of_the_core() -> None:
    """Linters, mypy and the coverage gate would take a `.py` below the package for one of ours."""
    here = Path(templates.__file__).parent
    assert [path.name for path in here.rglob("*.py")] == ["__init__.py"]


def test_files_are_readable_by_others(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        package = write(tmp_path, "acme", "source")
    finally:
        os.umask(before)
    assert package.stat().st_mode & 0o777 == 0o755
    assert (package / "README.md").stat().st_mode & 0o777 == 0o644
