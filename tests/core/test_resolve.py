"""From a document to connectors: found, checked, imported when used."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl_core.errors import AuthError, ConfigError, PluginError
from etl_core.plugins import Plugins
from etl_core.resolve import load_document, load_state, resolve
from etl_core.state.memory import MemoryStore

Install = Callable[..., None]

CODE = """
    import attrs
    from pathlib import Path
    from etl_core import AuthError, Registration, Secret, hookimpl, setting

    @attrs.frozen
    class Config:
        path: Path = Path("data")
        rows: int = setting(1, help="How many.", validator=attrs.validators.gt(0))
        password: Secret | None = None

    made = []

    class Thing:
        def __init__(self, config):
            if config.rows == 13:
                raise ValueError("hunter2 does not fit")
            if config.rows == 14:
                raise AuthError("no entry")
            self.config = config
            made.append(self)

    @hookimpl
    def etl_register_extract():
        return [
            Registration("thing", Config, "etl_thing_plugin:Thing"),
            Registration("unimportable", Config, "surely_not_there:Thing"),
            Registration("nameless", Config, "etl_thing_plugin:Nothing"),
        ]

    @hookimpl
    def etl_register_transform():
        return [Registration("thing", Config, Thing)]

    @hookimpl
    def etl_register_destination():
        return [Registration("thing", Config, Thing)]

    @hookimpl
    def etl_register_observability():
        return [Registration("thing", Config, Thing)]
"""


@pytest.fixture
def thing(install: Install) -> Install:
    install("etl-thing", CODE)
    return install


def shop(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "pipeline": "shop",
        "extract": {"use": "thing"},
        "load": {"use": "append"},
        "destination": {"use": "thing"},
        "state": {"use": "memory"},
        **changes,
    }


@pytest.mark.usefixtures("thing")
def test_every_part_is_made_of_its_settings(tmp_path: Path) -> None:
    document = load_document(
        shop(
            base_directory=str(tmp_path),
            extract={"use": "thing", "rows": 2, "password": "${PW}"},
            transform=[{"use": "thing", "rows": 3, "streams": ["public.*", "x"]}],
            observability=[{"use": "thing", "rows": 4}],
            destination={"use": "thing", "path": "out", "schema": "landing"},
            load={"use": "append", "schema": "freeze"},
            retry={"attempts": 9},
        ),
        environ={"PW": "hunter2"},
    )
    connectors = resolve(document)
    source: Any = connectors.source
    assert (source.config.rows, source.config.password.reveal()) == (2, "hunter2")
    assert source.config.path == tmp_path / "data"
    destination: Any = connectors.destination
    assert destination.config.path == tmp_path / "out"
    [step] = connectors.transforms
    transform: Any = step.transform
    assert (step.name, step.streams, transform.config.rows) == ("thing", ("public.*", "x"), 3)
    [(name, observer)] = connectors.observers
    assert (name, observer.config.rows) == ("thing", 4)  # type: ignore[attr-defined]
    assert isinstance(connectors.state, MemoryStore)
    assert (connectors.name, connectors.loader_name, connectors.destination_schema) == (
        "shop",
        "append",
        "landing",
    )
    assert (connectors.load.schema.new_column, connectors.retry.attempts, connectors.base) == (
        "freeze",
        9,
        tmp_path,
    )


@pytest.mark.usefixtures("thing")
def test_a_connector_is_made_once_when_first_used_and_timed() -> None:
    connectors = resolve(load_document(shop()))
    made = sys.modules["etl_thing_plugin"].made
    assert (made, connectors.source_load, connectors.destination_load) == ([], 0.0, 0.0)
    assert connectors.source is connectors.source
    assert len(made) == 1
    assert connectors.source_load > 0
    assert connectors.destination_load == 0.0


@pytest.mark.usefixtures("thing")
def test_wrong_settings_of_every_connector_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load_document(
            shop(
                extract={"use": "thing", "rows": 0, "pth": "x"},
                transform=[{"use": "thing"}, {"use": "thing", "rows": "x", "stream": ["a"]}],
                load={"use": "append", "btach": {}},
                destination={"use": "thing", "password": 5, "schma": "a"},
                retry={"attempts": 0},
            )
        )
    assert {(problem.path, problem.message, problem.hint) for problem in caught.value.problems} == {
        ("extract.rows", "must be > 0: 0", None),
        ("extract.pth", "unknown setting", "did you mean path?"),
        ("transform[1].rows", "expected a whole number, found 'x'", None),
        ("transform[1].stream", "unknown setting", "did you mean streams?"),
        ("load.btach", "unknown setting", "did you mean batch?"),
        ("destination.password", "expected a text", "put it in quotes, or write ${NAME} or ${file:PATH}"),
        ("destination.schma", "unknown setting", "did you mean schema?"),
        ("retry.attempts", "must be > 0: 0", None),
    }


@pytest.mark.usefixtures("thing")
def test_a_missing_connector_is_said_by_resolve_and_not_before() -> None:
    document = load_document(shop(extract={"use": "thign", "anything": 1}))
    with pytest.raises(PluginError) as caught:
        resolve(document)
    assert (caught.value.hint, caught.value.exit_code) == ("did you mean thing?", 3)


@pytest.mark.usefixtures("thing")
def test_the_state_can_be_had_without_the_other_plugins() -> None:
    document = load_document(shop(extract={"use": "unheard-of"}))
    assert isinstance(load_state(document), MemoryStore)


@pytest.mark.usefixtures("thing")
@pytest.mark.parametrize(
    ("use", "reason"), [("unimportable", "surely_not_there"), ("nameless", "no attribute 'Nothing'")]
)
def test_a_factory_that_cannot_be_imported_fails_alone_and_only_when_used(use: str, reason: str) -> None:
    connectors = resolve(load_document(shop(extract={"use": use})))
    assert connectors.destination is not None
    for _ in range(2):
        with pytest.raises(PluginError, match=reason) as caught:
            _ = connectors.source
        assert caught.value.__cause__ is not None


@pytest.mark.usefixtures("thing")
def test_what_a_factory_raises_passes_if_it_is_ours_and_else_is_the_plugins_fault() -> None:
    with pytest.raises(AuthError, match="no entry"):
        _ = resolve(load_document(shop(extract={"use": "thing", "rows": 14}))).source
    with pytest.raises(PluginError, match="ValueError") as caught:
        _ = resolve(load_document(shop(extract={"use": "thing", "rows": 13}))).source
    assert "hunter2" not in str(caught.value)


def test_a_document_loaded_with_one_set_of_plugins_is_checked_again_by_another(install: Install) -> None:
    install("etl-thing", CODE)
    here = Plugins.discover()
    document = load_document(shop(extract={"use": "thing", "rows": 0}), plugins=Plugins(()))
    with pytest.raises(ConfigError, match="must be > 0"):
        resolve(document, here)
