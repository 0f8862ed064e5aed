"""`etl-core certify` on installed packages: right ones, wrong ones, and such as hang, die, print or lie."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from etl_core.testing.certify import process

Install = Callable[..., None]
Certify = Callable[..., Result]

PLUGIN = """
    from pathlib import Path

    import attrs
    from etl_core import Registration, Secret, hookimpl, setting

    @attrs.frozen
    class Nothing:
        pass

    @attrs.frozen
    class Settings:
        path: Path = setting(help="Where.")
        token: Secret | None = setting(None, help="A secret.")

    @attrs.frozen
    class Asking:
        url: str = setting(help="Where.")
        path: Path = setting(help="Where.")

    @hookimpl
    def etl_register_load():
        return [
            Registration("right", Nothing, "etl_odd_parts:Right", "Keeps the order."),
            Registration("wrong", Nothing, "etl_odd_parts:Wrong", "Turns the order round."),
            Registration("twice", Settings, "etl_odd_parts:Keeper", "Has another face."),
        ]

    @hookimpl
    def etl_register_transform():
        return [Registration("seen", Nothing, "etl_odd_parts:Seen", "Sees.")]

    @hookimpl
    def etl_register_destination():
        return [
            Registration("twice", Settings, "etl_odd_parts:Files", "Keeps nothing."),
            Registration("asking", Asking, "etl_odd_parts:Files", "Asks for more."),
        ]
"""
PARTS = """
    from attrs import evolve
    from etl_core import Destination, Mode
    from etl_core.errors import FatalError
    from etl_core.loaders.append import Append

    class Right(Append):
        pass

    class Keeper(Append):
        def __init__(self, config):
            super().__init__(None)
            print("printed by the connector")
            if config.token is not None:
                raise FatalError("the token is wrong", token=config.token.reveal())

    class Wrong(Append):
        def plan(self, batch):
            for write in super().plan(batch):
                rows = write.rows and write.rows.take(list(range(len(write.rows)))[::-1])
                yield evolve(write, rows=rows)

    class Files(Destination):
        modes = frozenset({Mode.APPEND})

        def __init__(self, config):
            self.config = config
            self.rows = []

        def open(self, ctx, fence):
            self.config.path.mkdir(exist_ok=True)

        def write(self, write):
            self.rows.append(write)

        def flush(self, position):
            self.rows.clear()
"""
KITS = """
    import os, sys, threading, time
    from pathlib import Path

    from etl_core.testing import LoaderConformance
    from etl_core.testing.verdicts import not_reached
    from etl_odd_plugin import etl_register_load

    class Own(LoaderConformance):
        registration = etl_register_load()[0]

        def test_it_can_be_used(self):
            '''It is used by its own kit.'''

        def test_zz_dies(self):
            '''The process goes on.

            Do not end it.
            '''
            os.write(1, b"last words")
            os._exit(7)

        def test_zz_dies_of_a_signal(self):
            os.kill(os.getpid(), 9)

        def test_zz_hangs(self):
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    pass

        def test_zz_is_slow(self):
            Path(os.environ["ETL_WAITING"]).write_text(f"{os.getpid()} {self.directory}")
            while True:
                try:
                    threading.Event().wait()
                except KeyboardInterrupt:
                    if not os.environ.get("ETL_DEAF"):
                        raise

        def clean(self):
            Path(os.environ.get("ETL_CLEANED", os.devnull)).write_text("cleaned")

        def test_zz_is_thorough(self):
            not_reached("try everything") if not self.thorough else None

    class Less(LoaderConformance):
        registration = etl_register_load()[1]
        test_rows_keep_their_order = None
"""


@pytest.fixture
def site(install: Install, tmp_path: Path) -> Path:
    """Install a package with right and wrong connectors; return where it is."""
    install("etl-odd", PLUGIN)
    site = tmp_path / "site-packages"
    (site / "etl_odd_parts.py").write_text(textwrap.dedent(PARTS))
    return site


@pytest.fixture
def own(site: Path) -> Path:
    """Have the package ship a kit of its own for `right`."""
    (site / "etl_odd_kits.py").write_text(textwrap.dedent(KITS))
    with (site / "etl_odd-1.0.dist-info" / "entry_points.txt").open("a") as points:
        points.write("[etl_core_conformance]\nright = etl_odd_kits:Own\nwrong = etl_odd_kits:Less\n")
    return site


@pytest.fixture
def certify() -> Certify:
    """Call the command in this process."""
    from etl_core.cli.app import app

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["certify", *map(str, arguments)])

    return call


def verdicts(done: Result) -> dict[str, str]:
    """Return the verdict of each clause in what was printed as JSON."""
    return {one["name"]: one["verdict"] for each in json.loads(done.stdout) for one in each["clauses"]}


def only(*names: str) -> list[str]:
    return [part for name in names for part in ("--clause", name)]


def test_a_right_connector_is_certified(certify: Certify) -> None:
    done = certify("append")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("load: append (etl-core ")
    assert lines[1].split() == ["CLAUSE", "VERDICT", "SECONDS", "WHAT", "IT", "SAYS"]
    assert re.fullmatch(r"it_can_be_used +PASS +\d+\.\d", lines[2])
    assert re.fullmatch(r"append: certified \(\d+ clauses passed, \d+ skipped\)", lines[-1])
    assert not {"FAIL", "NOT REACHED"} & set(re.split("  +", done.stdout))


@pytest.mark.usefixtures("site")
def test_a_wrong_one_is_not_and_the_broken_promise_is_named(certify: Certify) -> None:
    done = certify("wrong", "--json")
    assert done.exit_code == 3, done.output
    [told] = json.loads(done.stdout)
    about = {
        key: told[key] for key in ("connector", "section", "distribution", "version", "kit", "certified")
    }
    assert about == {
        "connector": "wrong",
        "section": "load",
        "distribution": "etl-odd",
        "version": "1.0",
        "kit": None,
        "certified": False,
    }
    [broken] = [one for one in told["clauses"] if one["name"] == "rows_keep_their_order"]
    assert broken["verdict"] == "FAIL"
    assert broken["promise"].endswith(".")
    assert broken["reason"]
    assert broken["advice"]
    assert verdicts(done)["an_unknown_setting_is_refused"] == "PASS"


@pytest.mark.usefixtures("site")
def test_what_is_wrong_is_said_with_what_to_do(certify: Certify) -> None:
    done = certify("wrong", *only("rows_keep_their_order", "an_unknown_setting_is_refused"))
    assert done.exit_code == 3
    lines = done.stdout.splitlines()
    at = lines.index("FAIL: rows_keep_their_order")
    assert [line.split(":")[0] for line in lines[at + 1 : at + 4]] == ["  promise", "  found", "  do"]
    assert lines[-1] == "wrong: 1 failed, 1 clauses passed; certified only when all clauses are tried"


@pytest.mark.usefixtures("site")
def test_what_nobody_gave_is_not_reached(certify: Certify, tmp_path: Path) -> None:
    file = tmp_path / "asking.yaml"
    file.write_text("use: asking\nurl: ${ETL_URL}\npath: here\nschema: ignored\n")
    (tmp_path / ".env").write_text("ETL_URL=http://localhost\n")
    done = certify("asking", "--config", file, *only("it_can_be_used", "a_history_has_every_change"))
    assert done.exit_code == 3, done.output
    assert "NOT REACHED: give `read_back(stream)`" in done.stdout
    assert "  clauses: a_history_has_every_change" in done.stdout
    assert (tmp_path / "here").is_dir()


@pytest.mark.usefixtures("site")
def test_a_required_path_lies_in_the_clauses_directory(certify: Certify) -> None:
    done = certify("etl-odd", *only("it_can_be_used", "the_same_makes_the_same"), "--json")
    assert done.exit_code == 2
    assert "settings: url" in done.stderr
    assert "--config FILE" in done.stderr
    done = certify("twice", *only("it_can_be_used"), "--json")
    assert done.exit_code == 0, done.output
    assert [one["section"] for one in json.loads(done.stdout)] == ["load", "destination"]
    assert all(one["certified"] is None for one in json.loads(done.stdout))


def document(path: Path, **sections: Any) -> Path:
    base = {"version": 1, "pipeline": "x", "extract": {"use": "no-such"}, "load": {"use": "append"}}
    path.write_text(json.dumps(base | {"destination": {"use": "no-such"}} | sections))
    return path


@pytest.mark.usefixtures("site")
def test_a_document_gives_the_settings_of_its_section(certify: Certify, tmp_path: Path) -> None:
    file = document(tmp_path / "x.yaml", load={"use": "twice", "path": "there", "batch": {"max_rows": 5}})
    done = certify("twice", "--config", file, *only("it_can_be_used"))
    assert done.exit_code == 0, done.output
    assert "destination: twice (etl-odd 1.0) is left out: no section of the file uses it" in done.stderr
    assert "load: twice (etl-odd 1.0)\n" in done.stdout
    assert "destination" not in done.stdout
    assert "printed by the connector" not in done.output


def test_secrets_of_the_settings_are_not_shown(certify: Certify, site: Path, tmp_path: Path) -> None:
    file = document(tmp_path / "x.yaml", load={"use": "twice", "path": "there", "token": "hunter2hunter2"})
    done = certify("twice", "--config", file, *only("it_can_be_used"))
    assert done.exit_code == 3
    assert "the token is wrong (token=***)" in done.stdout
    assert "hunter2" not in done.output


FILES = {
    "the settings are wrong": ("path: x\nurl: y\nurk: z\n", "x.yaml:3: urk: unknown setting"),
    "one is missing": ("path: x\n", "x.yaml:1: url: is missing"),
    "a variable is not set": (
        "url: ${ETL_SURELY_NOT_SET}\n",
        "x.yaml:1: url: the variable ETL_SURELY_NOT_SET",
    ),
    "it is no mapping": ("- x\n", "expected a mapping of settings, found a list"),
    "it is no YAML": ("a: [\n", "x.yaml:2: not YAML"),
    "it is for another": ("use: other\n", "x.yaml:1: use: these settings are for another connector"),
    "no section uses it": (
        "version: 1\npipeline: x\nextract: {use: a}\nload: {use: b}\ndestination: {use: c}\n",
        "no section of the document uses the connector",
    ),
    "the document is wrong": ("pipeline: x\nextract: {use: a}\n", "version: is missing"),
}


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("what", FILES)
def test_a_file_that_cannot_be_used_exits_2(certify: Certify, tmp_path: Path, what: str) -> None:
    text, said = FILES[what]
    (tmp_path / "x.yaml").write_text(text)
    done = certify("asking", "--config", tmp_path / "x.yaml")
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


@pytest.mark.usefixtures("site")
def test_settings_that_are_for_nobody_exit_2(certify: Certify, tmp_path: Path) -> None:
    assert certify("asking", "--config", tmp_path / "none.yaml").exit_code == 2
    (tmp_path / "x.yaml").write_text("path: x\n")
    several = certify("twice", "--config", tmp_path / "x.yaml")
    assert (several.exit_code, "the name means several" in several.stderr) == (2, True)
    file = document(tmp_path / "y.yaml", transform=[{"use": "seen"}, {"use": "seen", "streams": ["x"]}])
    double = certify("seen", "--config", file)
    assert (double.exit_code, "uses the connector more than once" in double.stderr) == (2, True)


def test_a_connector_that_hangs_or_dies_costs_its_clause_only(
    certify: Certify, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.2)
    names = ("zz_dies", "zz_dies_of_a_signal", "zz_hangs", "zz_is_thorough", "rows_keep_their_order")
    done = certify("right", *only("it_can_be_used", *names), "--deadline", "1.5", "--json")
    assert done.exit_code == 3, done.output
    [told] = json.loads(done.stdout)
    assert told["kit"] == "etl_odd_kits:Own"
    reasons = {one["name"]: (one["verdict"], one["reason"]) for one in told["clauses"]}
    assert reasons["zz_dies"] == ("FAIL", "the process it ran in ended (with code 7)")
    assert reasons["zz_dies_of_a_signal"] == ("FAIL", "the process it ran in ended (by SIGKILL)")
    assert reasons["zz_hangs"][0] == "FAIL"
    assert "did not end in time" in reasons["zz_hangs"][1]
    assert reasons["zz_is_thorough"] == ("NOT REACHED", "try everything")
    assert reasons["rows_keep_their_order"] == ("PASS", "")
    assert [one["changed"] for one in told["clauses"] if one["name"] == "it_can_be_used"] == [True]


def test_a_kit_of_ones_own_is_named_and_what_it_changed_is_said(certify: Certify, own: Path) -> None:
    done = certify("right", *only("it_can_be_used", "zz_is_thorough"), "--thorough")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "load: right (etl-odd 1.0), by etl_odd_kits:Own"
    assert "as the plugin's own kit has written it" in lines[2]


def test_a_clause_that_a_kit_removed_is_not_reached(certify: Certify, own: Path) -> None:
    done = certify("wrong", *only("it_can_be_used", "rows_keep_their_order"))
    assert done.exit_code == 3, done.output
    assert "NOT REACHED: the plugin's kit leaves this clause out" in done.stdout
    assert "  clauses: rows_keep_their_order\n" in done.stdout


def test_a_misspelt_clause_gets_the_nearest(certify: Certify, own: Path) -> None:
    close = certify("right", "--clause", "it_can_be_usde")
    assert (close.exit_code, "Did you mean 'it_can_be_used'?" in close.stderr) == (2, True)


def test_a_kit_that_cannot_be_loaded_is_the_plugins_fault(certify: Certify, own: Path) -> None:
    (own / "etl_odd_kits.py").write_text("raise RuntimeError('no pytest')")
    done = certify("right")
    assert done.exit_code == 3
    assert "the conformance kit that a plugin ships cannot be used" in done.stderr
    assert "reason: RuntimeError: no pytest" in done.stderr


def test_names_that_cannot_be_used_exit_3(
    certify: Certify, site: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("etl-bad", "raise RuntimeError('no licence')")
    install("etl-again", PLUGIN.replace("Keeps the order", "Again"))
    missing = certify("wrogn")
    assert (missing.exit_code, "did you mean wrong?" in missing.stderr) == (3, True)
    for name in ("bad", "etl-bad"):
        broken = certify(name)
        assert (broken.exit_code, "no licence" in broken.stderr) == (3, True)
    double = certify("wrong")
    assert (double.exit_code, "two plugins register the same name" in double.stderr) == (3, True)
    monkeypatch.setenv("ETL_DISABLE_PLUGINS", "odd,again")
    blocked = certify("etl-odd")
    assert (blocked.exit_code, "ETL_DISABLE_PLUGINS names odd" in blocked.stderr) == (3, True)


@pytest.fixture
def started(own: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command as a process of its own; what it makes is in `tmp_path`."""
    processes: list[subprocess.Popen[bytes]] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PYTHONPATH": str(own),
            "TMPDIR": str(temporary),
            "ETL_WAITING": str(tmp_path / "waiting"),
            "ETL_CLEANED": str(tmp_path / "cleaned"),
        }
        program = "from etl_core.cli import main; main()"
        command = [sys.executable, "-c", program, "certify", *arguments]
        processes.append(subprocess.Popen(command, env=environment, **options))
        return processes[-1]

    yield start
    for each in processes:
        each.kill()
        each.wait()


def content(file: Path) -> str:
    """Wait until a file has something in it."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if file.is_file() and (text := file.read_text()):
            return text
        time.sleep(0.01)
    raise AssertionError(f"{file.name} did not come")


@pytest.mark.parametrize("nohup", [False, True])
def test_signals_leave_nothing(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, nohup: bool
) -> None:
    def prepare() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    certifying = started("right", *only("zz_is_slow"), "--json", preexec_fn=prepare, **pipes)
    look_at_what_is_there(tmp_path)
    certifying.send_signal(signal.SIGHUP)
    if nohup:
        certifying.send_signal(signal.SIGTERM)
    printed, said = certifying.communicate(timeout=30)
    assert (certifying.returncode, printed) == (130, b"")
    assert said.startswith(b"cancelled")
    look_at_what_is_left(tmp_path)


@pytest.mark.parametrize("deaf", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_kill_of_the_command_leaves_nothing(
    started: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deaf: bool,
) -> None:
    monkeypatch.setenv("ETL_DEAF", "1" if deaf else "")
    certifying = started("right", *only("zz_is_slow"), stdout=subprocess.DEVNULL)
    look_at_what_is_there(tmp_path)
    certifying.kill()
    worker, deadline = int(content(tmp_path / "waiting").split()[0]), time.monotonic() + 30
    while is_there(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_there(worker)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert (tmp_path / "cleaned").exists() is not deaf


def is_there(pid: int) -> bool:
    """Tell whether a process goes on; one that has ended may wait for who reaps it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def look_at_what_is_there(tmp_path: Path) -> None:
    directory = content(tmp_path / "waiting").split(" ", 1)[1]
    assert Path(directory).is_dir()
    assert Path(directory).is_relative_to(tmp_path / "temporary")


def look_at_what_is_left(tmp_path: Path) -> None:
    assert (tmp_path / "cleaned").read_text() == "cleaned"
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(content(tmp_path / "waiting").split()[0]), 0)


def test_on_a_terminal_the_clause_that_runs_is_shown_and_ctrl_c_leaves_nothing(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    certifying = started("right", *only("zz_dies", "zz_is_slow"), stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    seen, deadline = "", time.monotonic() + 40
    while not re.search(r"right: zz_is_slow +\d+ s", seen) and time.monotonic() < deadline:
        if select.select([ours], [], [], 1)[0]:
            seen += _read(ours) or ""
    look_at_what_is_there(tmp_path)
    certifying.send_signal(signal.SIGINT)
    while (chunk := _read(ours)) is not None:
        seen += chunk
    os.close(ours)
    assert certifying.wait(30) == 130
    assert "right: loading its kit" in seen
    assert re.search(r"zz_dies.*FAIL.*ended", seen)
    assert "last words" not in seen
    look_at_what_is_left(tmp_path)


def _read(terminal: int) -> str | None:
    try:
        return re.sub(r"\x1b\[[0-9;?]*\w", "", os.read(terminal, 4096).decode(errors="replace")) or None
    except OSError:  # the other side is closed
        return None


def test_debug_shows_what_the_connector_says(
    certify: Certify, own: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = certify("right", *only("zz_dies"), "--debug")
    assert done.exit_code == 3
    assert capfd.readouterr().err.endswith("last words")
    assert "last words" not in done.output
