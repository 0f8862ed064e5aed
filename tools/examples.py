"""Write `docs/examples/new-plugin/<kind>`, which the documentation shows, as `new-plugin` writes it now.

Usage: python tools/examples.py [--check]
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from etl_core.templates import KINDS, render

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "docs" / "examples" / "new-plugin"
NAME = "etl-acme"


def wanted() -> dict[Path, str]:
    """Return every file with its text."""
    return {EXAMPLES / kind / path: text for kind in KINDS for path, text in render(NAME, kind).items()}


def found() -> dict[Path, str]:
    """Return what is there, less what tools left beside it."""
    files = [path for path in EXAMPLES.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    made = [path for path in files if not any(part.endswith("_cache") for part in path.parts)]
    return {path: path.read_text(encoding="utf-8") for path in made}


def main(arguments: list[str]) -> int:
    """Write what is not as it should be, or with `--check` only say so."""
    right = wanted()
    if found() == right:
        return 0
    if "--check" in arguments:
        print("docs/examples/new-plugin is not what new-plugin writes: run python tools/examples.py")
        return 1
    if EXAMPLES.exists():
        shutil.rmtree(EXAMPLES)
    for path, text in right.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
