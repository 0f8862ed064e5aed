"""`python -m etl_core.cli`: the command line of this very interpreter."""

from __future__ import annotations

from etl_core.cli import main

main()
