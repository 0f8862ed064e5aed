"""Sphinx: Markdown by MyST, the reference written by `generate.py`, no theme to install, no network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "etl-core"
copyright = "the etl-core authors"  # noqa: A001 - Sphinx wants this name
extensions = ["myst_parser", "generate"]
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "description": "Tables and change streams as Arrow batches",
    "page_width": "1280px",  # code is 110 characters wide
    "sidebar_width": "260px",
}
html_show_sourcelink = False
suppress_warnings = ["myst.xref_missing_source"]
