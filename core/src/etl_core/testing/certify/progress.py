"""What runs now, on a terminal: the clause and its seconds, below the rows that are printed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["showing"]


@contextmanager
def showing(name: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Give the function that takes the name of the clause that begins; nothing is shown when piped."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():  # it is None where it was closed
        yield lambda clause: None
        return
    from rich.console import Console
    from rich.live import Live

    now = _Now(name)
    console = Console(stderr=True)
    with Live(
        get_renderable=now.render,
        console=console,
        refresh_per_second=4,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    ):
        yield now.begin


class _Now:
    """The line that is drawn."""

    def __init__(self, name: str) -> None:
        self._name, self._clause, self._since = name, "loading its kit", monotonic()

    def begin(self, clause: str) -> None:
        self._clause, self._since = clause, monotonic()

    def render(self) -> Text:
        from rich.text import Text

        return Text(f"{self._name}: {self._clause}  {monotonic() - self._since:.0f} s")
