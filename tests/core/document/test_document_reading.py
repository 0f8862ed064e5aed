"""Files and mappings to documents: defaults, places, and everything wrong at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from etl_core.config import BatchPolicy, LoadSettings, Resources, RetryPolicy, SchemaPolicy
from etl_core.document import Document, read
from etl_core.errors import ConfigError

MINIMAL: dict[str, Any] = {
    "version": 1,
    "pipeline": "shop",
    "extract": {"use": "src"},
    "load": {"use": "upsert"},
    "destination": {"use": "dst"},
}


SET_IT = "set it in the environment, or in .env beside the document"


def with_(**changes: Any) -> dict[str, Any]:
    return {**MINIMAL, **changes}


def document(source: Any, environ: dict[str, str] | None = None) -> Document:
    return read(source, environ or {}).document()


def problems(source: Any, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        document(source, environ)
    return [str(problem) for problem in caught.value.problems]


def written(directory: Path, text: str) -> Path:
    path = directory / "shop.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_minimal_document_has_every_default(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(MINIMAL))
    read_ = document(path)
    assert (read_.pipeline, read_.path, read_.base, read_.once) == ("shop", path, tmp_path, False)
    assert (read_.transform, read_.observability, read_.destination_schema) == ((), (), None)
    assert (read_.state.use, read_.state.settings) == ("sqlite", {})
    assert read_.load_settings == LoadSettings()
    assert read_.retry == RetryPolicy()
    assert read_.resources == Resources(spill=tmp_path / ".etl/spill")


def test_the_engines_settings_are_taken_out_of_each_section(tmp_path: Path) -> None:
    read_ = document(
        with_(
            extract={"use": "src", "dsn": "x"},
            transform=[{"use": "mask", "streams": ["public.*"], "key": 1}, {"use": "drop"}],
            load={"use": "upsert", "batch": {"max_rows": 5}, "schema": "freeze", "delete": "soft"},
            destination={"use": "dst", "schema": "landing", "path": "p"},
            observability=[{"use": "log", "level": "x"}],
            state={"use": "memory"},
            retry={"attempts": 2},
            once=True,
        )
    )
    assert read_.extract.settings == {"dsn": "x"}
    assert [(one.use, one.streams, one.settings) for one in read_.transform] == [
        ("mask", ("public.*",), {"key": 1}),
        ("drop", ("*",), {}),
    ]
    assert read_.transform[1].place == ("transform", 1)
    assert read_.load_settings == LoadSettings(batch=BatchPolicy(5), schema=SchemaPolicy.uniform("freeze"))
    assert read_.load.settings == {"delete": "soft"}
    assert (read_.destination_schema, read_.destination.settings) == ("landing", {"path": "p"})
    assert [one.use for one in read_.observability] == ["log"]
    assert [one.section for one in read_.sections] == [
        "extract",
        "load",
        "destination",
        "state",
        "transform",
        "transform",
        "observability",
    ]
    assert read_.retry.attempts == 2
    assert read_.once


def test_a_destinations_schema_may_map_streams() -> None:
    read_ = document(with_(destination={"use": "dst", "schema": {"public.a": "b.a"}}))
    assert read_.destination_schema == {"public.a": "b.a"}


def test_everything_wrong_comes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """\
version: 2
pipeline: no spaces
extract: {uses: src}
load:
  use: upsert
  batch:
    max_rows: many
    max_rows: 5
  on_error: explode
transform: {use: mask}
observability:
  - {use: 5}
  - ${NOTHING}
  - words
retry: {attempts: 0}
resources: {memory: lots}
stat: {}
""",
    )
    at = f"{path}:"
    assert problems(path) == [
        f"{at}1: version: expected one of 1, found 2",
        f"{at}1: destination: is missing\n    Where rows go.",
        f"{at}2: pipeline: must be 1 to 64 letters, digits, '_', '.' or '-', and not only dots",
        f"{at}3: extract.use: is missing\n    The connector's name; `etl-core list-plugins` shows all.",
        f"{at}8: load.batch.max_rows: the key is there twice\n    the first is in line 7",
        f"{at}9: load.on_error: expected one of fail, skip, dead-letter, found 'explode'",
        f"{at}10: transform: expected a list, found a mapping",
        f"{at}12: observability[0].use: expected a text, found 5\n    put it in quotes",
        f"{at}13: observability[1]: the variable NOTHING is not set\n    {SET_IT}",
        f"{at}14: observability[2]: expected a mapping of settings, found 'words'",
        f"{at}15: retry.attempts: must be > 0: 0",
        f"{at}16: resources.memory: expected a size like 64MiB, found 'lots'",
        f"{at}17: stat: unknown setting\n    did you mean state?",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a mapping of settings, found nothing"),
        ("- a", "expected a mapping of settings, found a list"),
        ("just words", "expected a mapping of settings, found 'just words'"),
        ("a: [", "not YAML: "),
    ],
)
def test_a_file_that_is_no_document_is_one_problem(tmp_path: Path, text: str, said: str) -> None:
    [problem] = problems(written(tmp_path, text))
    assert said in problem


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read(tmp_path / "latin.yaml")


@pytest.mark.parametrize("name", ["a", "shop-1.x_Y", "x" * 64])
def test_pipeline_names(name: str) -> None:
    assert document(with_(pipeline=name)).pipeline == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a/b", "a b", "ä", "a\n", ".", "..", "/etc"])
def test_what_is_no_pipeline_name(name: str) -> None:
    assert problems(with_(pipeline=name)) == [
        "pipeline: must be 1 to 64 letters, digits, '_', '.' or '-', and not only dots"
    ]


def test_variables_come_from_the_environment_before_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("NAME=from-file\nROWS=7\n", encoding="utf-8")
    path = written(
        tmp_path, json.dumps(with_(pipeline="${NAME}", load={"use": "x", "batch": {"max_rows": "${ROWS}"}}))
    )
    assert document(path).pipeline == "from-file"
    assert document(path, {"NAME": "real"}).pipeline == "real"
    assert document(path).load_settings.batch == BatchPolicy(7)


def test_a_mapping_reads_no_dotenv_of_wherever_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("NAME=from-file\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "NAME is not set" in problems(with_(pipeline="${NAME}"))[0]
    assert document(with_(pipeline="${NAME}", base_directory=".")).pipeline == "from-file"


def test_the_process_environment_is_used_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_TEST_NAME", "seen")
    assert read(with_(pipeline="${ETL_TEST_NAME}")).document().pipeline == "seen"


def test_a_wrong_dotenv_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("what\n", encoding="utf-8")
    assert "line 1 of .env" in problems(written(tmp_path, json.dumps(MINIMAL)))[0]


def test_raw_holds_no_secret_and_travels(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(with_(extract={"use": "src", "dsn": "${DSN}"}, once=False)))
    first = document(path, {"DSN": "hunter2"})
    travelling = json.dumps(first.to_json(once=True))
    assert "hunter2" not in travelling
    assert "hunter2" not in repr(first)
    again = document(json.loads(travelling), {"DSN": "hunter2"})
    assert again.extract == first.extract
    assert (again.base, again.resources, again.once) == (tmp_path, first.resources, True)


def test_a_base_directory_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".env").write_text("NAME=there\n", encoding="utf-8")
    path = written(tmp_path, json.dumps(with_(pipeline="${NAME}", base_directory="other")))
    read_ = document(path)
    assert (read_.base, read_.pipeline) == (tmp_path / "other", "there")


def test_a_relative_document_still_has_an_absolute_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, json.dumps(MINIMAL))
    monkeypatch.chdir(tmp_path)
    assert document("shop.yaml").base == tmp_path


def test_a_wrong_base_directory_is_a_problem_among_others() -> None:
    assert problems(with_(base_directory=5)) == [
        "base_directory: expected a text, found 5\n    put it in quotes"
    ]
