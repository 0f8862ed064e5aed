"""Throw-away Python environments for what ours is compared with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.processes import clean_environment
from benchmarks.speed.runs import Run

from etl_core import ConfigError, FatalError

__all__ = ["PEERS", "Environment", "scanner"]

#: The programs that run in the environments.
PEERS = Path(__file__).resolve().parents[1] / "peers"
_SCANNER = "duckdb-extension-postgres-scanner"


class Environment:
    """An environment with some packages; made when it is constructed.

    Raises ConfigError with the installer's words when they cannot be had.
    """

    def __init__(self, directory: Path, packages: Sequence[str]) -> None:
        self.directory = directory
        self.python = directory / "bin" / "python"
        if shutil.which("uv"):
            _installed("uv", "venv", "--quiet", "--python", sys.executable, str(directory))
            _installed("uv", "pip", "install", "--quiet", "--python", str(self.python), *packages)
        else:
            _installed(sys.executable, "-m", "venv", str(directory))
            _installed(str(self.python), "-m", "pip", "install", "--quiet", *packages)

    def run(self, program: str, options: Mapping[str, Any], timeout: float = 3600.0) -> Run:
        """Run a program of `PEERS` and return what it says of itself. Raises FatalError when it fails."""
        command = [str(self.python), str(PEERS / "script.py"), program, json.dumps(options)]
        try:
            done = subprocess.run(
                command,
                env=clean_environment(PATH=f"{self.python.parent}:{clean_environment()['PATH']}"),
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise FatalError("a peer did not end in time", program=program, seconds=timeout) from None
        if done.returncode != 0:
            raise FatalError("a peer failed", program=program, said=done.stderr.strip()[-1500:])
        found = json.loads(done.stdout.splitlines()[-1])
        facts = found.get("facts", {})
        return Run(found["seconds"], found["cpu"], found["peak"], facts=facts)


def scanner(directory: Path, version: str) -> Environment:
    """Return an environment with DuckDB and its postgres extension, of that version where there is one."""
    try:
        return Environment(directory / "same", [f"duckdb=={version}", f"{_SCANNER}=={version}"])
    except ConfigError:
        newest = Environment(directory / "newest", [_SCANNER])
        question = f"import importlib.metadata as m; print(m.version('{_SCANNER}'))"
        found = subprocess.check_output([str(newest.python), "-c", question], text=True).strip()
        return Environment(directory / "other", [f"duckdb=={found}", f"{_SCANNER}=={found}"])


def _installed(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError("packages cannot be installed", done.stderr.strip()[-500:], command=command[-1])
