"""Put example files into README.md, so that what is shown is what tests run.

Usage: python tools/embed.py [--check]

A line `<!-- file: PATH -->` says which file the code block below it shows.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
_BLOCK = re.compile(r"(<!-- file: (\S+) -->\n```\w+\n).*?(```\n)", re.DOTALL)


def embedded(text: str) -> str:
    """Return the text with every marked block as its file is now."""
    return _BLOCK.sub(lambda match: match[1] + (ROOT / match[2]).read_text() + match[3], text)


def main(arguments: list[str]) -> int:
    """Write README.md, or with `--check` only say whether it is as it should be."""
    text = README.read_text()
    if embedded(text) == text:
        return 0
    if "--check" in arguments:
        print("README.md does not show its files as they are: run python tools/embed.py")
        return 1
    README.write_text(embedded(text))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
