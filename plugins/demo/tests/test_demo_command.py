from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from etl_core import FatalError
from etl_demo.pipeline import PipelineProcess
from etl_demo.story import Story, _waiting
from etl_demo.traffic import Traffic


def played_once(test: Any) -> Any:
    """Give a test that uses `played` the time it may need, and one worker to all of them."""
    return pytest.mark.xdist_group("demo")(pytest.mark.timeout(300)(test))


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "etl_core.cli", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    """The demonstration, played once and kept: its directory and what it printed."""
    directory = tmp_path_factory.mktemp("demo") / "new"
    try:
        done = demo("--directory", directory, "--rows", "2000", "--keep", "--json")
        assert done.returncode == 0, done.stderr
        yield directory, json.loads(done.stdout)
    finally:
        demo("--stop", directory)


@played_once
def test_the_copy_is_equal_after_a_crash(played: tuple[Path, Any]) -> None:
    directory, report = played
    assert report["equal"] is True
    assert {table["table"] for table in report["tables"]} >= {"public.orders", 'public."Odd ""Names"""'}
    assert all(table["source_rows"] == table["copy_rows"] > 0 for table in report["tables"])
    assert report["changes"] > 0
    assert report["rows_per_second"] > 0
    log = (directory / "pipeline.log").read_text()
    assert log.count("shop: started") == 2


@played_once
def test_one_changed_value_makes_the_exit_code_1(played: tuple[Path, Any]) -> None:
    directory, _ = played
    equal = demo("--compare", directory)
    assert equal.returncode == 0, equal.stdout
    assert "Every value is equal" in equal.stdout
    assert str(directory) in equal.stdout
    change(directory, "update public.customers set name = name || '!' where id = 77")
    different = demo("--compare", directory)
    assert different.returncode == 1
    assert "DIFFERENT" in different.stdout
    assert "public.customers (77,) name: source 'Customer 77', copy 'Customer 77!'" in different.stdout
    change(directory, "update public.customers set name = 'Customer 77' where id = 77")


@played_once
def test_what_is_kept_can_be_played_with_until_it_is_stopped(played: tuple[Path, Any]) -> None:
    directory, report = played
    psql = subprocess.run(
        [sys.executable, "-c", "import psycopg, sys; psycopg.connect(sys.argv[1]).close()", report["dsn"]],
        check=False,
    )
    assert psql.returncode == 0
    assert demo("--stop", directory).returncode == 0
    after = demo("--compare", directory)
    assert after.returncode == 1
    assert "no PostgreSQL runs in this directory" in after.stderr
    assert (directory / "shop.duckdb").exists()


def change(directory: Path, statement: str) -> None:
    with duckdb.connect(directory / "shop.duckdb") as connection:
        connection.execute(statement)


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = demo("--directory", tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert demo("--stop", tmp_path).returncode == 1


def test_a_pipeline_that_fails_is_shown_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("version: 1\nnonsense: true\n")
    with PipelineProcess(tmp_path, once=True) as pipeline, pytest.raises(FatalError) as raised:
        pipeline.result(30)
    assert "nonsense" in str(raised.value.hint)
    with pytest.raises(FatalError, match="the pipeline failed"):
        pipeline.verify_running()


def test_a_pipeline_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/sleep")
    monkeypatch.setattr("etl_demo.pipeline.COMMAND", ("60",))
    with PipelineProcess(tmp_path) as pipeline:
        pipeline.verify_running()
        with pytest.raises(FatalError, match="did not catch up"):
            pipeline.result(0.1)
    assert pipeline.seconds > 0


def test_waiting_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_demo.story._DEADLINE", 0.01)
    with pytest.raises(FatalError, match="nothing happens"):
        list(_waiting("nothing happens"))


def test_a_shop_whose_writer_died_is_not_waited_for(tmp_path: Path) -> None:
    traffic = Traffic("postgresql://nobody@127.0.0.1:1/nothing")
    traffic.start()
    Story(tmp_path, 16, 1, print, print)._go_on_alone(traffic)
    with pytest.raises(Exception, match="cannot be reached"):
        traffic.stop()
