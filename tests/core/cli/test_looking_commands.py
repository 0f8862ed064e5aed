"""Commands that look: plugins, settings, schema, check, discover, preview, status, state show."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from etl_core.cli.app import COMMANDS
from etl_core.model import Lag
from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore

Document = Callable[..., Path]
Run = Callable[..., Result]
Install = Callable[..., None]


@pytest.mark.usefixtures("toy")
def test_list_plugins_shows_what_each_offers_and_what_is_broken(run: Run, install: Install) -> None:
    install("etl-bad", "raise RuntimeError('no licence')")
    lines = [line.split(maxsplit=5) for line in run("list-plugins").stdout.splitlines()]
    assert ["extract", "toy", "active", "etl-toy", "1.0", "Counts."] in lines
    assert ["-", "bad", "broken", "etl-bad", "1.0", "RuntimeError: no licence"] in lines
    listed = {one["plugin"]: one for one in json.loads(run("list-plugins", "--json").stdout)}
    assert listed["bad"]["status"] == "broken"
    [lines_] = [one for one in listed["toy"]["connectors"] if one["name"] == "lines"]
    assert (lines_["kind"], lines_["summary"]) == ("destination", "Lines in a file.")


@pytest.mark.usefixtures("toy")
def test_list_plugins_says_what_to_do(run: Run, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("etl-bad", "print('loud'); raise RuntimeError('no licence')")
    command = "Registration('run', None, 'a:b', 'Hides ours.')"
    hook = "from etl_core import hookimpl, Registration\n@hookimpl\ndef etl_register_commands(): "
    install("etl-rude", f"{hook}return [{command}, Registration('hello', None, 'a:b')]")
    monkeypatch.setenv("ETL_DISABLE_PLUGINS", "etl-nobody")
    done = run("list-plugins")
    assert done.exit_code == 0
    assert "ETL_DISABLE_PLUGINS names etl-nobody, which is not installed" in done.stderr
    assert (
        "etl-bad 1.0 (bad) is broken: update etl-bad, report it to its authors, or leave it out"
        in done.stdout
    )
    assert "etl-rude 1.0: command run is hidden: its author has to give it another name" in done.stdout
    rows = [line.split(maxsplit=5) for line in done.stdout.splitlines()]
    assert [
        "commands",
        "hello",
        "duplicate",
        "etl-toy",
        "1.0",
        "etl-rude 1.0 registers the same name",
    ] in rows
    assert ["commands", "run", "hidden", "etl-rude", "1.0", "etl-core has a command of that name"] in rows
    listed = {one["plugin"]: one for one in json.loads(run("list-plugins", "--json").stdout)}
    assert [one["conflict"] for one in listed["rude"]["connectors"]] == ["hidden", "duplicate"]
    assert listed["rude"]["status"] == "active"
    assert run("hello").exit_code == 3


@pytest.mark.usefixtures("toy")
def test_no_plugins_leaves_what_comes_with_the_core(run: Run) -> None:
    listed = json.loads(run("--no-plugins", "list-plugins", "--json").stdout)
    [toy] = [one for one in listed if one["plugin"] == "toy"]
    assert (toy["status"], toy["error"]) == ("blocked", "--no-plugins was given")
    assert all(one["status"] == "active" for one in listed if one["distribution"] == "etl-core")


@pytest.mark.usefixtures("toy")
def test_describe_shows_every_setting(run: Run) -> None:
    text = run("describe", "toy").stdout
    assert "extract: toy   (etl-toy 1.0)" in text
    rows = [line.split(maxsplit=3) for line in text.splitlines()]
    assert ["rows", "whole", "number", "3        How many."] in rows
    assert ["endless", "true", "|", "false  false    Go on."] in rows
    [described] = json.loads(run("describe", "lines", "--json").stdout)
    assert described["settings"]["required"] == ["path"]
    assert "no settings" in run("describe", "same").stdout
    assert json.loads(run("describe", "hello", "--json").stdout)[0]["settings"] is None
    assert "Greets." in run("describe", "hello").stdout


def test_describe_of_a_loader_shows_what_every_loader_has_with_units(run: Run) -> None:
    lines = [line.split() for line in run("describe", "upsert").stdout.splitlines()]
    shown = {line[0]: line for line in lines if line}
    assert "delete" in shown
    assert shown["batch.max_bytes"][1:4] == ["size", "8", "MiB"]
    assert shown["commit.max_wait"][1:4] == ["duration", "1", "s"]


@pytest.mark.usefixtures("toy")
def test_describe_of_something_else_suggests(run: Run, install: Install) -> None:
    missing = run("describe", "tory")
    assert (missing.exit_code, "did you mean toy?" in missing.stderr) == (3, True)
    install("etl-bad", "raise RuntimeError('no licence')")
    broken = run("describe", "bad")
    assert (broken.exit_code, "no licence" in broken.stderr) == (3, True)


@pytest.mark.usefixtures("toy")
def test_schema_covers_every_section_and_installed_connector(run: Run) -> None:
    schema = json.loads(run("schema").stdout)
    uses = [one["properties"]["use"]["const"] for one in schema["properties"]["extract"]["oneOf"]]
    assert "toy" in uses
    assert schema["properties"]["transform"]["items"]["oneOf"]


def test_check_says_ok_for_each_part(run: Run, document: Document) -> None:
    path = document("shop", transform=[{"use": "same"}])
    done = run("check", path)
    assert done.exit_code == 0, done.output
    assert [line.strip() for line in done.stdout.splitlines()] == [
        f"{path}: shop",
        "source: ok",
        "transform 1: ok",
        "destination: ok",
        "state: ok",
    ]


def test_check_looks_at_every_file_whatever_is_wrong_with_one(run: Run, document: Document) -> None:
    wrong, good = document("wrong", extract={"rosw": 1}), document("good")
    locked = document("locked", extract={"fail": "auth"})
    done = run("check", locked, wrong, good)
    assert done.exit_code == 1
    assert "source: failed: the login failed (user=toy)\n  ask for another password" in done.stdout
    assert "did you mean rows?" in done.stderr
    assert f"{good}: good" in done.stdout
    assert run("check", wrong, locked).exit_code == 2
    listed = json.loads(run("check", locked, wrong, good, "--json").stdout)
    assert [one["ok"] for one in listed] == [False, False, True]
    assert listed[1]["error"]["problems"][0]["path"] == "extract.rosw"
    assert listed[0]["document"] == str(locked)


def test_a_password_is_printed_nowhere(run: Run, document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "hunter2")
    right = document("right", extract={"password": "${PW}", "fail": "auth"})
    wrong = document("wrong", extract={"password": "${PW}", "rows": "${PW}", "endless": "${PW}"})
    for path in (right, wrong):
        for command in ("check", "run"):
            for option in ("--debug", "-v", "--json"):
                done = run(command, path, option)
                assert done.exit_code in (1, 2)
                assert "hunter2" not in done.output
    assert "the value of ${PW}" in run("check", wrong).stderr


def test_discover_lists_streams_with_columns_and_keys(run: Run, document: Document) -> None:
    path = document("shop")
    assert run("discover", path).stdout.splitlines() == [
        "public.numbers   (key: id)",
        "  id    int64 not null",
        "  name  string",
    ]
    [stream] = json.loads(run("discover", path, "--json").stdout)
    assert (stream["stream"], stream["key"]) == ("public.numbers", ["id"])
    assert stream["estimate"] is None
    about = document("about", extract={"estimate": 5_000_000})
    assert run("discover", about).stdout.splitlines()[0] == "public.numbers   (key: id, about 5,000,000 rows)"
    assert stream["columns"][0] == {"name": "id", "type": "int64", "nullable": False}


def test_looking_at_a_source_needs_no_other_plugin(run: Run, document: Document) -> None:
    path = document(destination={"use": "not-installed-here"})
    assert run("discover", path).exit_code == 0
    assert run("preview", path).exit_code == 0
    assert run("check", path).exit_code == 3


def test_preview_shows_rows_and_cuts_long_values(run: Run, document: Document) -> None:
    path = document("shop", transform=[{"use": "same"}])
    lines = run("preview", path, "--rows", "2").stdout.splitlines()
    assert lines[0] == "public.numbers   (2 rows)"
    assert lines[1].split() == ["id", "name"]
    assert lines[2].split() == ["0", "x" * 37 + "..."]
    assert lines[3].split() == ["1"]
    rows = json.loads(run("preview", path, "--rows", "1", "--json", "--streams", "public.*").stdout)
    assert rows == {"public.numbers": [{"id": 0, "name": "x" * 60}]}
    none = run("preview", path, "--streams", "private.*")
    assert (none.exit_code, "no stream fits" in none.stderr) == (2, True)


def test_status_and_state_show_tell_where_a_pipeline_stands(run: Run, document: Document) -> None:
    path = document("shop")
    assert run("status", path).stdout.splitlines()[1].split() == ["shop", "no", "never", "-", "-", "0", "-"]
    assert run("state", "show", path).stdout == "shop has no saved position\n"
    run("run", path)
    [status] = json.loads(run("status", path, "--json").stdout)
    assert (status["holder"], status["dead_letters"], status["position"]["value"]) == (None, 0, 3)
    header, newest = run("state", "show", path).stdout.splitlines()
    assert header.split() == ["SAVED", "EPOCH", "N", "VALUE"]
    assert newest.split()[0] == status["saved_at"]
    assert json.loads(run("state", "show", path, "--json").stdout)[0]["position"]["value"] == 3


def test_status_shows_the_lag_and_what_the_last_run_moved(run: Run, document: Document) -> None:
    path = document("shop", extract={"end": 5})
    before = run("status", path).stdout.splitlines()[1].split()
    assert before[3:9] == ["5.0", "MiB,", "50", "s", "1.0", "GiB,"]
    done = json.loads(run("run", path, "--json").stdout)
    assert done["lag"] is None  # it ended before the source was asked
    assert done["streams"]["public.numbers"]["records_written"] == 3
    header, shop, _, streams, numbers = run("status", path).stdout.splitlines()
    assert header.split()[2:6] == ["SAVED", "LAG", "LOG", "KEPT"]
    assert shop.split()[3:10] == ["2.0", "MiB,", "20", "s", "1.0", "GiB,", "reserved"]
    titles = ["PIPELINE", "STREAM", "PHASE", "READ", "WRITTEN", "READ/S", "WRITTEN/S", "MEASURED"]
    assert streams.split() == titles
    assert numbers.split()[:5] == ["shop", "public.numbers", "changes", "3", "3"]
    [status] = json.loads(run("status", path, "--json").stdout)
    assert (status["lag"]["bytes"], status["lag"]["seconds"], status["lag_error"]) == (2 << 20, 20.0, None)
    assert (status["last_run"]["lag"], status["last_run"]["lag_at"]) == (None, None)
    moved = status["last_run"]["streams"]["public.numbers"]
    assert (moved["rows_read"], moved["rows_written"], status["last_run"]["ended"]) == (3, 3, True)
    assert moved["rows_written_per_second"] > 0
    assert numbers.split()[-1] == status["last_run"]["at"]


@pytest.mark.parametrize(
    ("measured", "said_at"), [({"lag_at": 10.0}, "00:00:10"), ({}, "00:01:40")], ids=["now", "older"]
)
def test_status_says_that_a_source_is_away_and_what_was_known(
    run: Run, document: Document, tmp_path: Path, measured: dict[str, float], said_at: str
) -> None:
    state = {"use": "sqlite", "path": str(tmp_path / "state.db")}
    path = document("shop", extract={"end": 5, "fail": "lag"}, state=state)
    lag = Lag(bytes=2 << 20, seconds=20.0).to_json()
    store = SqliteStore(SqliteConfig(path=tmp_path / "state.db"))
    note = {"at": 100.0, "ended": True, "lag": lag, "streams": {}, **measured}
    store.note(store.claim("shop"), note)
    store.close()
    done = run("status", path)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].split()[3:5] == ["unknown", "-"]
    said = "shop: the lag is not known now: RetryableError: the server cannot be reached (host=toy)"
    was = f"  it was 2.0 MiB, 20 s at 1970-01-01T{said_at}+00:00"
    assert done.stdout.splitlines()[-2:] == [said, was]
    [status] = json.loads(run("status", path, "--json").stdout)
    assert (status["lag"], status["lag_error"]) == (None, said.partition("now: ")[2])
    never = document("never", extract={"fail": "lag"})
    assert "it was" not in run("status", never).stdout


def test_status_needs_no_plugin_but_the_state_store(run: Run, document: Document) -> None:
    path = document("shop")
    run("run", path)
    done = run("--no-plugins", "status", path)
    assert done.exit_code == 0, done.output
    assert "the lag is not known now: PluginError" in done.stdout


def test_status_shows_how_far_a_snapshot_is(run: Run, document: Document, tmp_path: Path) -> None:
    path = document("shop", state={"use": "sqlite", "path": str(tmp_path / "state.db")})
    store = SqliteStore(SqliteConfig(path=tmp_path / "state.db"))
    facts = {"rows_read": 30, "rows_written": 20, "rows_read_per_second": 5.0, "rows_written_per_second": 4.0}
    copying = {**facts, "phase": "snapshot", "snapshot_rows": 10, "snapshot_estimate": 40}
    streams = {"b": copying, "a": {**copying, "snapshot_rows": None}}
    store.note(store.claim("shop"), {"at": 0.0, "ended": False, "lag": None, "streams": streams})
    store.close()
    lines = [line.split() for line in run("status", path).stdout.splitlines()[-2:]]
    assert lines[0] == ["shop", "a", "snapshot", "30", "20", "5", "4", "1970-01-01T00:00:00+00:00"]
    assert lines[1][2:8] == ["snapshot", "10", "/", "~40", "(25", "%)"]


def test_help_of_every_command_is_there(run: Run) -> None:
    overview = run("--help").stdout
    for name in COMMANDS:
        assert f"\n  {name} " in overview
        done = run(name, "--help")
        assert done.exit_code == 0
        assert "Usage:" in done.stdout


def test_looking_at_plugins_and_help_load_nothing_heavy() -> None:
    heavy = {"pyarrow", "duckdb", "psycopg", "rich", "yaml", "cattrs", "loguru", "tenacity"}
    for arguments in (["--help"], ["list-plugins"], ["list-plugins", "--json"]):
        program = (
            "import atexit, sys, json\n"
            "loaded = lambda: sorted({name.split('.')[0] for name in sys.modules})\n"
            "atexit.register(lambda: print(json.dumps(loaded()), file=sys.stderr))\n"
            f"sys.argv[1:] = {arguments!r}\n"
            "from etl_core.cli import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert not heavy & set(json.loads(done.stderr)), arguments
