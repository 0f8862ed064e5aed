"""Holds `etl-core demo` to what every command promises; `etl-core certify demo` finds it here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from etl_core import Registration
from etl_core.testing import CommandConformance
from etl_demo.plugin import etl_register_commands

__all__ = ["Demo"]


class Demo(CommandConformance):
    """The command `demo`. A whole demonstration takes long: one is played, the package's tests play more."""

    registration: ClassVar[Registration] = etl_register_commands()[0]
    #: About when its PostgreSQL starts.
    interrupt_after: ClassVar[float] = 1.0

    def prepare(self) -> None:
        (self.directory / "used").mkdir()
        (self.directory / "used" / "file").touch()

    def arguments(self) -> None:
        """None that is quick."""

    def listing(self) -> Sequence[str]:
        return ["--directory", "new", "--rows", "40"]

    def failing(self) -> Mapping[tuple[str, ...], int]:
        return {("--directory", "used"): 2, ("--stop", "used"): 1}

    def lasting(self) -> Sequence[str]:
        return ["--directory", "new", "--rows", "2000"]
