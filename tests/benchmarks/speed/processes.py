"""Child processes: what they are told by the environment, and what they say at their end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etl_core import FatalError

__all__ = ["answer", "clean_environment", "environment", "spawn"]

TESTS = Path(__file__).resolve().parents[2]


def clean_environment(**extra: str) -> dict[str, str]:
    """Return the environment without what libpq would take settings from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, **extra}


def environment(**extra: str) -> dict[str, str]:
    """Return the environment in which a child finds the benchmark's modules."""
    path = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return clean_environment(PYTHONPATH=os.pathsep.join(path), LOGURU_LEVEL="WARNING", **extra)


def spawn(module: str, told: Mapping[str, Any], **extra: str) -> subprocess.Popen[str]:
    """Start a module of ours and tell it what to do, as a line of JSON; its stdin stays open."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        env=environment(**extra),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(told) + "\n")
    process.stdin.flush()
    return process


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a child and return what it found. Raises FatalError when it failed."""
    output, errors = process.communicate()
    if process.returncode != 0:
        raise FatalError("a run failed", code=process.returncode, said=errors.strip()[-2000:])
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found
