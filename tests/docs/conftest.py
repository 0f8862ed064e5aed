"""The example packages, built and installed as a user's would be, and processes that have them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = shutil.which("uv") or "uv"

Run = Callable[..., str]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the two packages of the examples in it, from wheels; for PYTHONPATH."""
    directory = tmp_path_factory.mktemp("examples") / "site"
    packages = [ROOT / "docs" / "examples" / "two-packages" / name for name in ("etl-hello", "nightly")]
    where = ["--python", sys.executable, "--target", str(directory)]
    pins = ["--build-constraints", str(ROOT / "tests" / "constraints.txt")]
    command = [UV, "pip", "install", "--quiet", "--no-deps", *where, *pins, *map(str, packages)]
    # The network is asked only for what the cache does not have.
    if subprocess.run([*command, "--offline"], capture_output=True, check=False).returncode != 0:
        subprocess.run(command, check=True)
    return directory


@pytest.fixture
def run(tmp_path: Path, site: Path) -> Run:
    """Run a Python program in a directory of this test, with the examples installed: its output."""

    def call(*arguments: object, code: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site), "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture
def etl_core(run: Run) -> Run:
    """Run `etl-core` with the examples installed: its output."""
    program = "from etl_core.cli import main; main()"
    return lambda *arguments, **options: run("-c", program, *arguments, **options)
