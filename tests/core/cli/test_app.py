"""The group of commands: plugins' commands, usage errors, destructive commands, failures in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from etl_core.cli.failures import as_json, exit_code, report
from etl_core.errors import (
    Cancelled,
    ConfigError,
    FatalError,
    PipelineError,
    PluginError,
    Problem,
    RejectedRowsError,
    RetryableError,
)
from etl_core.plugins import Plugins, PluginStatus

Document = Callable[..., Path]
Run = Callable[..., Result]
Install = Callable[..., None]


@pytest.mark.usefixtures("toy")
def test_a_plugins_command_is_one_of_ours(run: Run) -> None:
    assert run("hello").stdout == "hello\n"
    assert "hello  Greets." in " ".join(run("--help").stdout.split("\n")).replace("      ", "  ")
    failed = run("hello", "--fail")
    assert (failed.exit_code, failed.stderr) == (1, "error: cannot greet\nhint: be nicer\n")


@pytest.mark.usefixtures("toy")
def test_a_plugins_command_that_is_none_is_the_plugins_fault(run: Run, install: Install) -> None:
    assert run("not-click").exit_code == 3
    install("etl-bad", "raise RuntimeError('no licence')")
    broken = run("bad")
    assert (broken.exit_code, "no licence" in broken.stderr) == (3, True)


def test_usage_errors_exit_2_and_suggest(run: Run, document: Document) -> None:
    misspelt = run("rnu")
    assert (misspelt.exit_code, "Did you mean 'run'?" in misspelt.stderr) == (2, True)
    assert "See 'etl-core --help'." in run("zzzzzz").stderr
    assert run("run").exit_code == 2
    assert run("run", document("shop"), "--workers", "0").exit_code == 2
    assert run("--nonsense").exit_code == 2


def test_a_document_that_is_not_there_exits_2(run: Run, tmp_path: Path) -> None:
    for command in (
        ["run"],
        ["check"],
        ["status"],
        ["discover"],
        ["preview"],
        ["state", "show"],
        ["teardown"],
    ):
        done = run(*command, tmp_path / "none.yaml")
        assert (done.exit_code, "No such file" in done.stderr) == (2, True), command


def test_reset_asks_then_forgets(run: Run, document: Document) -> None:
    path = document("shop")
    run("run", path)
    refused = run("state", "reset", path, input="n\n")
    assert refused.exit_code == 1
    assert json.loads(run("status", path, "--json").stdout)[0]["position"]["value"] == 3
    done = run("state", "reset", path, "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert "dropped the slot toy" in json.loads(done.stdout)
    assert json.loads(run("status", path, "--json").stdout)[0]["position"] is None


def test_teardown_asks_then_says_what_was_removed(run: Run, document: Document) -> None:
    path = document("shop")
    assert run("teardown", path, input="n\n").exit_code == 1
    assert run("teardown", path, input="y\n").stdout.endswith("dropped the slot toy\n")
    assert json.loads(run("teardown", path, "--yes", "--json").stdout) == ["dropped the slot toy"]


ERRORS = [
    (ConfigError("c"), 2),
    (PluginError("p"), 3),
    (RetryableError("r"), 1),
    (RejectedRowsError("x"), 4),
    (FatalError("f"), 1),
    (PipelineError("shop", PluginError("p")), 3),
    (PipelineError("shop", ValueError("v")), 1),
    (Cancelled(), 130),
    (ValueError("v"), 1),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_each_error_has_its_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(error) == code
    assert report(error, debug=True) == code
    assert capsys.readouterr().err


def test_an_error_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem("load.batch", "unknown setting", "did you mean x?", "shop.yaml:3")
    report(ConfigError("the document cannot be used", "read on", problems=[problem], document="shop.yaml"))
    assert capsys.readouterr().err == (
        "error: the document cannot be used\n"
        "  document: shop.yaml\n"
        "  shop.yaml:3: load.batch: unknown setting\n"
        "    did you mean x?\n"
        "hint: read on\n"
    )


def test_an_error_as_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(PluginError("missing", "install it", name="x"), log_format="json") == 3
    assert json.loads(capsys.readouterr().err) == {
        "level": "ERROR",
        "type": "PluginError",
        "exit_code": 3,
        "message": "missing",
        "hint": "install it",
        "facts": {"name": "x"},
    }


def test_an_interrupt_anywhere_exits_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Plugins) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PluginStatus, "to_json", interrupt)
    done = run("list-plugins", "--json")
    assert (done.exit_code, done.stderr[:9]) == (130, "cancelled")


def test_an_error_for_programs() -> None:
    error = ConfigError("wrong", problems=[Problem("a.b", "bad")], table="t", nothing=None)
    assert as_json(PipelineError("shop", error)) == {
        "pipeline": "shop",
        "type": "ConfigError",
        "exit_code": 2,
        "message": "wrong",
        "hint": None,
        "facts": {"table": "t"},
        "problems": [{"path": "a.b", "message": "bad", "hint": None, "at": None}],
    }
    assert as_json(ValueError("hunter2")) == {"type": "ValueError", "exit_code": 1}
