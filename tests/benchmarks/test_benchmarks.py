"""Benchmarks run and move every row; what they measure is for people to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def test_engine_overhead_moves_every_row_and_prints_its_figures() -> None:
    script = HERE / "engine_overhead.py"
    command = [sys.executable, str(script), "--batches", "3", "--rounds", "1", "--json"]
    figures = json.loads(subprocess.check_output(command, text=True))
    assert [each["pipelines"] for each in figures] == [1, 4, 8]
    assert all(each["engine_wall"] > 0 and each["bare_wall"] > 0 for each in figures)


@pytest.mark.timeout(180)
def test_the_benchmark_of_postgres_compares_contents_and_writes_its_results(tmp_path: Path) -> None:
    rows = ["stream-10", "huge", "snapshot-parquet", "decode", "memory-snapshot-arrow"]
    where = ["--json", str(tmp_path / "found.json"), "--plot", str(tmp_path / "found.png")]
    command = [sys.executable, str(HERE / "postgres.py"), "--quick", "--pairs", "1", "--rows", *rows, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    names = [each["row"]["name"] for each in found["results"]]
    assert names == ["stream-10-arrow", "stream-10-duckdb", "huge-arrow", *rows[2:]]
    assert not [each["wrong"] for each in found["results"] if each["wrong"]]
    assert all(each["value"] > 0 for each in found["results"])
    assert "stream-10-arrow" in done.stdout


def snowflake(tmp_path: Path, *options: str) -> list[dict[str, Any]]:
    """Run the benchmark of Snowflake with little data; return its results."""
    where = tmp_path / "found.json"
    command = [sys.executable, str(HERE / "snowflake.py"), "--quick", "--pairs", "1", "--json", str(where)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    results: list[dict[str, Any]] = json.loads(where.read_text())["results"]
    assert not [each["wrong"] for each in results if each["wrong"]]
    assert all(each["cpu"] > 0 and each["row"]["name"] in done.stdout for each in results)
    return results


def test_the_benchmark_of_snowflake_measures_cpu_and_writes_its_results(tmp_path: Path) -> None:
    (found,) = snowflake(tmp_path, "--rows", "encode-columns-sdk")
    assert found["facts"]["ratios"] == [found["value"]]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_benchmark_of_snowflake_compares_what_was_loaded(tmp_path: Path) -> None:
    names = [found["row"]["name"] for found in snowflake(tmp_path, "--rows", "load")]
    assert names == ["load-sdk", "load-rest", "load-rest-dicts", "load-bulk"]
