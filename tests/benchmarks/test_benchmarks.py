"""Benchmarks run and move every row; what they measure is for people to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
