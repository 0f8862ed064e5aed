"""Benchmarks run and move every row; what they measure is for people to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_engine_overhead_moves_every_row_and_prints_its_figures() -> None:
    script = Path(__file__).with_name("engine_overhead.py")
    command = [sys.executable, str(script), "--batches", "3", "--rounds", "1", "--json"]
    figures = json.loads(subprocess.check_output(command, text=True))
    assert [each["pipelines"] for each in figures] == [1, 4, 8]
    assert all(each["engine_wall"] > 0 and each["bare_wall"] > 0 for each in figures)
