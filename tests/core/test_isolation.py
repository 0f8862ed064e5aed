"""What a plugin does to its process while it is looked at is contained, and said."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
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
    import logging, os, signal, socket, sys, threading, warnings
    print("hello from the import")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    socket.setdefaulttimeout(0.5)
    logging.disable(logging.CRITICAL)
    os.umask(0)
    sys.path.insert(0, "/nowhere")
    sys.stderr = None
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
    environ, path, mask = dict(os.environ), list(sys.path), os.umask(0o027)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with warnings.catch_warnings():
        broad = [each for each in warnings.filters if each[1] is None and each[2] is Warning]
        install("etl-rude", RUDE.replace("{then}", then) + REGISTER)
        found = status_of("rude")
        assert [each for each in warnings.filters if each[1] is None and each[2] is Warning] == broad
        assert any(getattr(each[1], "pattern", "") == "mine" for each in warnings.filters)
    assert found.status is status
    assert (dict(os.environ), sys.path) == (environ, path)
    assert os.umask(mask) == 0o027
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert (socket.getdefaulttimeout(), logging.root.manager.disable) == (None, 0)
    assert Path.cwd() == tmp_path
    said = " ".join(found.notes)
    assert "ETL_KEPT, ETL_RUDE, HOME" in said
    assert "secret" not in said
    assert "working directory" in said
    assert "warnings" in said
    for what in ("signals", "rights of new files", "timeout", "levels", "standard streams", "where modules"):
        assert what in said
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


def test_the_command_line_ends_and_prints_what_it_should(install: Install, tmp_path: Path) -> None:
    code = """
        import atexit, os, sys, threading
        import attrs
        from etl_core import Registration, hookimpl
        os.write(1, b"written ")
        os.system("echo echoed")
        sys.__stdout__.write("buffered ")
        atexit.register(lambda: print("goodbye"))
        threading.Thread(target=threading.Event().wait, name="endless").start()

        @attrs.frozen
        class Nothing:
            pass

        @hookimpl
        def etl_register_load():
            return [Registration("sur", Nothing, "a:b", "not a character: \\ud800 Z\u00fcrich")]
    """
    install("etl-loud", code)
    command = [sys.executable, "-c", "from etl_core.cli import main; main()", "list-plugins", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site-packages")}
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0
    plugins = {each["plugin"]: each for each in json.loads(done.stdout)}
    assert plugins["loud"]["error"] is None
    assert plugins["loud"]["notes"] == ["it started threads when it was loaded: endless"]
    assert plugins["loud"]["connectors"][0]["summary"] == "not a character: \ud800 Z\u00fcrich"
    for said in (b"written", b"echoed", b"buffered", b"goodbye", b"not waiting for threads"):
        assert said in done.stderr


def test_standard_streams_may_be_closed() -> None:
    look = "from etl_core.isolation import contained\nwith contained('x') as notes:\n    pass\n"
    for number in (1, 2):
        code = f"import os; os.close({number}); {look}raise SystemExit(3 if notes else 0)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
