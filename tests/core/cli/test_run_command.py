"""`etl-core run`: outcomes, exit codes, signals, what is printed where."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Document = Callable[..., Path]
Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]


def ids(path: Path) -> list[int]:
    lines = path.with_suffix(".txt")
    return [int(line) for line in lines.read_text(encoding="utf-8").split()] if lines.exists() else []


def test_a_run_moves_rows_and_ends_with_a_summary(run: Run, document: Document) -> None:
    path = document("shop", extract={"rows": 5})
    done = run("run", path)
    assert done.exit_code == 0, done.output
    assert ids(path) == [0, 1, 2, 3, 4]
    header, row = done.stdout.splitlines()
    assert header.split()[:4] == ["PIPELINE", "OUTCOME", "READ", "WRITTEN"]
    assert row.split()[:4] == ["shop", "ok", "5", "5"]


def test_json_is_the_result_and_nothing_else_on_stdout(run: Run, document: Document) -> None:
    done = run("run", document("shop"), "--json")
    result = json.loads(done.stdout)
    assert (result["pipeline"], result["counts"]["records_written"]) == ("shop", 3)
    assert result["position"]["value"] == 3


def test_several_files_give_a_list_and_each_runs(run: Run, document: Document) -> None:
    paths = [document(name) for name in ("a", "b", "c")]
    done = run("run", *paths, "--workers", "2", "--json")
    assert done.exit_code == 0, done.output
    assert [result["pipeline"] for result in json.loads(done.stdout)] == ["a", "b", "c"]
    assert all(ids(path) == [0, 1, 2] for path in paths)


def test_the_next_run_resumes(run: Run, document: Document) -> None:
    path = document("shop")
    run("run", path, "--once")
    run("run", path, "--once")
    assert ids(path) == [0, 1, 2, 3, 4, 5]


def test_one_failure_is_reported_and_so_is_what_the_others_did(run: Run, document: Document) -> None:
    good, bad = document("good"), document("bad", extract={"fail": "auth"})
    done = run("run", good, bad, "--workers", "1")
    assert done.exit_code == 1
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()[1:]}
    assert rows == {"good": "ok", "bad": "failed"}
    assert (
        "pipeline bad failed\nerror: the login failed\n  user: toy\nhint: ask for another password"
        in done.stderr
    )


def test_a_failure_in_json_says_type_facts_and_code(run: Run, document: Document) -> None:
    done = run("run", document("bad", extract={"fail": "auth"}), "--json")
    assert json.loads(done.stdout) == {
        "pipeline": "bad",
        "outcome": "failed",
        "error": {
            "type": "AuthError",
            "exit_code": 1,
            "message": "the login failed",
            "hint": "ask for another password",
            "facts": {"user": "toy"},
        },
    }


def test_a_connectors_accident_shows_neither_traceback_nor_values(run: Run, document: Document) -> None:
    path = document("bad", extract={"fail": "crash"})
    done = run("run", path)
    assert done.exit_code == 1
    assert "ZeroDivisionError" in done.stderr
    assert "hunter2" not in done.output
    assert "Traceback" not in done.output
    assert "Traceback" in run("run", path, "--debug").stderr


def test_rejected_rows_under_fail_have_an_exit_code(run: Run, document: Document) -> None:
    done = run("run", document("bad", destination={"reject": True}))
    assert done.exit_code == 4, done.output
    assert "not_wanted" in done.stderr


def test_nothing_starts_when_one_document_is_wrong(run: Run, document: Document) -> None:
    good, bad = document("good"), document("bad", extract={"rosw": 1})
    done = run("run", good, bad)
    assert done.exit_code == 2
    assert f"{bad}:1: extract.rosw: unknown setting" in done.stderr
    assert ids(good) == []


def test_a_missing_plugin_has_its_exit_code_before_anything_starts(run: Run, document: Document) -> None:
    good, bad = document("good"), document("bad", destination={"use": "line"})
    done = run("run", good, bad)
    assert done.exit_code == 3
    assert "did you mean lines?" in done.stderr
    assert ids(good) == []


def test_two_documents_of_one_name_are_refused(run: Run, document: Document) -> None:
    path = document("shop")
    assert run("run", path, path).exit_code == 2


def test_another_executor_gets_the_document_and_once(run: Run, document: Document) -> None:
    path = document("shop")
    done = run("run", path, "--executor", "elsewhere", "--once")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("elsewhere True")
    assert ids(path) == [0, 1, 2]
    assert run("run", path, "--executor", "nowhere").exit_code == 3


def test_relative_paths_are_relative_to_the_document(
    run: Run, document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = document("shop")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert run("run", path).exit_code == 0
    assert (tmp_path / ".etl" / "state.db").exists()
    assert not (tmp_path / "else" / ".etl").exists()


def test_piped_runs_log_lines_to_stderr_and_quiet_ones_do_not(run: Run, document: Document) -> None:
    path = document("shop")
    done = run("run", path)
    assert "shop: started" in done.stderr
    assert "3 rows durable" in done.stderr
    assert "started" not in done.stdout
    assert run("run", path, "--quiet").stderr == ""


def test_log_lines_as_json(run: Run, document: Document) -> None:
    done = run("run", document("shop"), "--log-format", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"pipeline": "shop", "message": "started", "level": "INFO"}.items() <= lines[0].items()


def until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_commits_and_exits_130(
    start: Start, document: Document, number: signal.Signals
) -> None:
    path = document("shop", extract={"endless": True})
    process = start("run", path)
    until(lambda: len(ids(path)) > 10, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, (out, err)
    assert "stopping" in err
    assert "cancelled: what was durable is kept" in err
    kept = ids(path)
    assert kept == list(range(len(kept)))
    status = start("status", path, "--json")
    position = json.loads(status.communicate(timeout=30)[0])[0]["position"]
    assert position["value"] == len(kept)


def test_a_second_signal_ends_at_once(start: Start, document: Document) -> None:
    path = document("shop", extract={"endless": True})
    process = start("run", path)
    until(lambda: len(ids(path)) > 3, process)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 130
