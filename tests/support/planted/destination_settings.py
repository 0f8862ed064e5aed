"""Settings of the planted destinations, in a module that imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from etl_core.config import Secret, setting


@frozen
class FiledConfig:
    path: Path = setting(help="The file, or directory, that rows are kept in.")
    password: Secret = setting(Secret("open sesame"), help="What the file is guarded by.")
