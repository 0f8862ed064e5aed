from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from attrs import frozen
from support.planted.ground_settings import Inner, Settings

from etl_core.config import Secret
from etl_core.errors import FatalError
from etl_core.events import Event
from etl_core.testing.secrets import plain_secrets, secrets_of, spoiled
from etl_core.testing.watch import Watch


@pytest.mark.parametrize(
    ("secret", "texts"),
    [
        ("hunter22", ["hunter22"]),
        (
            "postgresql://me:p%40ssword@host/db?x=1",
            ["postgresql://me:p%40ssword@host/db?x=1", "p%40ssword", "p@ssword"],
        ),
        ("host=h password=hunter22 port=1", ["host=h password=hunter22 port=1", "hunter22", "hunter22"]),
        ("abcd", []),  # would be found everywhere
    ],
)
def test_a_secret_and_the_password_within_it_are_watched(secret: str, texts: list[str]) -> None:
    found = secrets_of(Settings(password=Secret(secret)))
    assert found == ({("password",): texts} if texts else {})


def test_secrets_are_found_further_in_and_nowhere_else() -> None:
    config = Settings(password=Secret("hunter22"), inner=Inner(token=Secret("a token")))
    assert secrets_of(config) == {("password",): ["hunter22"], ("inner", "token"): ["a token"]}
    assert secrets_of(None) == {}


def test_a_secret_is_spoiled_where_it_holds_the_password() -> None:
    settings = {"dsn": "redis://me:right@host:1/0", "inner": {"token": "right", "other": 1}}
    wrong, (mark,) = spoiled(settings, ("dsn",))
    assert wrong == {**settings, "dsn": f"redis://me:{mark}@host:1/0"}
    wrong, (mark,) = spoiled(settings, ("inner", "token"))
    assert wrong == {**settings, "inner": {"token": mark, "other": 1}}
    assert settings["inner"] == {"token": "right", "other": 1}


def test_a_watch_sees_prints_logs_reprs_errors_and_their_facts() -> None:
    logs: list[str] = []
    before = sys.stdout
    with Watch(logs) as watch:
        print("printed secret")
        print("on stderr", file=sys.stderr)
    assert sys.stdout is before
    logs.append("logged secret")
    watch.look(FatalError("shown secret"))
    error = FatalError("constant", slot="fact secret")
    error.__cause__ = ValueError("caused secret")
    watch.error(error)
    places = {
        "printed secret": "output",
        "on stderr": "output",
        "logged secret": "log",
        "shown secret": "repr of FatalError",
        "caused secret": "error FatalError",
        "fact secret": "error FatalError",
    }
    assert {text: watch.place_of(text) for text in places} == places
    assert watch.place_of("never said") is None


def test_a_watch_sees_every_level_descriptors_processes_and_events(capfd: pytest.CaptureFixture[str]) -> None:
    alone = logging.getLogger("test of the watch, alone")
    alone.propagate = False
    alone.addHandler(logging.NullHandler())
    alone.setLevel(logging.ERROR)
    levels = logging.root.level, logging.root.manager.disable
    logs: list[str] = []
    events = [[Event("metric", "p", 0.0, {"labels": {"host": "label secret"}})]]
    with Watch(logs, events) as watch:
        logging.getLogger("driver").debug("debug %s", "secret")
        alone.info("private %s", "secret")
        alone.info("%d", "unformatted secret")
        os.write(2, b"written secret")
        subprocess.run([sys.executable, "-c", "print('child ' + 'secret')", "argued secret"], check=True)
    places = {
        "debug secret": "log",
        "private secret": "log",
        "unformatted secret": "log",
        "written secret": "output",
        "child secret": "output",
        "argued secret": "arguments of a process",
        "label secret": "event metric",
    }
    assert {text: watch.place_of(text) for text in places} == places
    assert (alone.level, levels) == (logging.ERROR, (logging.root.level, logging.root.manager.disable))
    os.write(1, b"goes on")
    assert capfd.readouterr().out == "goes on"


def test_a_text_with_the_name_of_a_secret_is_found_by_its_type() -> None:
    @frozen
    class Deep:
        api_key: str = ""
        token: Secret | None = None

    @frozen
    class Plain:
        password: str | None
        token_url: str
        deep: Deep

    Plain.__annotations__ = {"password": str | None, "token_url": str, "deep": Deep}
    Deep.__annotations__ = {"api_key": str, "token": Secret | None}
    assert list(plain_secrets(Plain)) == ["password", "deep.api_key"]
