"""Fail unless every measured source file has enough of its lines covered.

Usage: coverage json -o FILE && python tools/coverage_gate.py FILE [MINIMUM_PERCENT]

A total hides a file without tests; this does not. Files that no test imported count as 0 %.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MINIMUM = 90.0


def main(report: Path, minimum: float = MINIMUM) -> int:
    """Print the files below the minimum with their missing lines; return the exit code."""
    files = json.loads(report.read_text())["files"]
    percents = {path: data["summary"]["percent_covered"] for path, data in files.items()}
    poor = {path: percent for path, percent in percents.items() if percent < minimum}
    for path, percent in sorted(poor.items(), key=lambda item: item[1]):
        missing = files[path]["missing_lines"]
        print(f"{percent:6.1f} %  {path}  missing: {' '.join(map(str, missing))}")
    print(f"coverage: {len(files)} files, {len(poor)} below {minimum:g} %")
    return 1 if poor or not files else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(float, sys.argv[2:3])))
