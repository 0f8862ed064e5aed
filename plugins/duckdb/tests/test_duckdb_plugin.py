"""What the package registers, and what it costs to find that out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from etl_core import API, Destination
from etl_duckdb.config import DuckDBConfig
from etl_duckdb.destination import DuckDBDestination
from etl_duckdb.plugin import etl_register_destination


def test_one_destination_is_registered() -> None:
    (registration,) = etl_register_destination()
    assert (registration.name, registration.config, registration.api) == ("duckdb", DuckDBConfig, API)
    assert registration.factory == "etl_duckdb.destination:DuckDBDestination"
    assert registration.summary
    assert issubclass(DuckDBDestination, Destination)


def test_loading_the_plugin_imports_neither_duckdb_nor_pyarrow() -> None:
    script = "import sys, etl_duckdb.plugin; sys.exit(bool({'duckdb', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_settings_have_defaults_and_limits() -> None:
    config = DuckDBConfig(Path("x.duckdb"))
    assert (config.memory_limit, config.threads) == (128 << 20, 2)
    for wrong in ({"memory_limit": 1}, {"threads": 0}):
        with pytest.raises(ValueError, match="must be"):
            DuckDBConfig(Path("x.duckdb"), **wrong)  # type: ignore[arg-type]
