"""What a plugin does to its process while it is looked at is contained, and said."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from etl_core import isolation
from etl_core.isolation import contained
from etl_core.plugins import Plugins, PluginStatus, Status

Install = Callable[..., None]

RUDE = """
    import os, sys, threading, warnings
    print("hello from the import")
    os.environ["ETL_RUDE"] = "secret"
    os.environ["HOME"] = "/nowhere"
    os.environ.pop("ETL_KEPT")
    os.chdir("/")
    warnings.simplefilter("ignore")
    warnings.filterwarnings("ignore", message="mine", module="mine")
    {then}
"""
REGISTER = """
    from etl_core import hookimpl

    @hookimpl
    def etl_register_load():
        return []
"""


def status_of(plugin: str) -> PluginStatus:
    return next(status for status in Plugins.discover().statuses if status.plugin == plugin)


@pytest.mark.parametrize(("then", "status"), [("", Status.ACTIVE), ("raise OSError", Status.BROKEN)])
def test_what_it_changes_for_everybody_is_undone_and_said(
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    then: str,
    status: Status,
) -> None:
    monkeypatch.setenv("ETL_KEPT", "1")
    monkeypatch.chdir(tmp_path)
    environ = dict(os.environ)
    with warnings.catch_warnings():
        broad = [each for each in warnings.filters if each[1] is None and each[2] is Warning]
        install("etl-rude", RUDE.replace("{then}", then) + REGISTER)
        found = status_of("rude")
        assert [each for each in warnings.filters if each[1] is None and each[2] is Warning] == broad
        assert any(getattr(each[1], "pattern", "") == "mine" for each in warnings.filters)
    assert found.status is status
    assert dict(os.environ) == environ
    assert Path.cwd() == tmp_path
    said = " ".join(found.notes)
    assert "ETL_KEPT, ETL_RUDE, HOME" in said
    assert "secret" not in said
    assert "working directory" in said
    assert "warnings" in said
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello from the import\n")


def test_threads_it_starts_are_named(install: Install) -> None:
    code = """
        import threading
        from etl_core import hookimpl
        let_go = threading.Event()
        threading.Thread(target=let_go.wait, name="rude one", daemon=True).start()

        @hookimpl
        def etl_register_load():
            return []
    """
    install("etl-busy", code)
    assert status_of("busy").notes == ("it started threads when it was loaded: rude one",)
    sys.modules["etl_busy_plugin"].let_go.set()


@pytest.mark.parametrize("raised", ["GeneratorExit", "type('Panic', (BaseException,), {})", "StopIteration"])
def test_whatever_it_raises_is_its_status(install: Install, raised: str) -> None:
    install("etl-bad", f"raise {raised}('of its own kind')")
    status = status_of("bad")
    assert status.status is Status.BROKEN
    assert "of its own kind" in str(status.error)


def test_an_interrupt_while_it_is_loaded_passes(install: Install) -> None:
    install("etl-bad", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Plugins.discover()


def test_one_that_takes_long_is_named_with_how_to_leave_it_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = threading.Event()
    say = isolation._say

    def told(who: str) -> None:
        say(who)
        said.set()

    monkeypatch.setattr(isolation, "_LONG", 0.01)
    monkeypatch.setattr(isolation, "_say", told)
    with contained("etl-slow:slow; ETL_DISABLE_PLUGINS=slow leaves it out"):
        assert said.wait(10)
    assert capsys.readouterr().err == (
        "still loading the plugin etl-slow:slow; ETL_DISABLE_PLUGINS=slow leaves it out\n"
    )


def test_a_working_directory_that_is_gone_is_no_matter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with contained("x") as notes:
        pass
    assert notes == []
