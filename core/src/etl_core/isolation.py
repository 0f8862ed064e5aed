"""Containing what a plugin does to its process while it is looked at.

A plugin's module only registers. What it prints goes to stderr; what it changes for everybody is undone, and
said. One that takes long is named on stderr, so that whoever waits knows whom to leave out.
"""

from __future__ import annotations

import builtins
import os
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

__all__ = ["contained"]

#: Seconds after which loading one plugin is long.
_LONG = 5.0


@contextmanager
def contained(who: str) -> Iterator[list[str]]:
    """Contain what `who` does within; at the end the list says what was changed."""
    notes: list[str] = []
    environ, threads = dict(os.environ), set(threading.enumerate())
    directory, filters = _directory(), list(warnings.filters)
    waiting = threading.Timer(_LONG, _say, [who])
    waiting.daemon = True
    waiting.start()
    threads.add(waiting)
    try:
        with redirect_stdout(sys.stderr):
            yield notes
    finally:
        waiting.cancel()
        waiting.join()
        notes += _restored(environ, directory, filters)
        if started := [each.name for each in threading.enumerate() if each not in threads]:
            notes.append(f"it started threads when it was loaded: {', '.join(started)}")


def _say(who: str) -> None:
    sys.stderr.write(f"still loading the plugin {who}\n")


def _restored(environ: Mapping[str, str], directory: Path | None, filters: Sequence[Any]) -> Iterator[str]:
    """Undo what was changed, and say what it was."""
    names = {*environ, *os.environ}
    if changed := sorted(name for name in names if environ.get(name) != os.environ.get(name)):
        for name in changed:
            if name in environ:
                os.environ[name] = environ[name]
            else:
                del os.environ[name]
        yield f"it changed variables of the environment when it was loaded (undone): {', '.join(changed)}"
    if directory is not None and _directory() != directory:
        os.chdir(directory)
        yield "it changed the working directory when it was loaded (undone)"
    if broad := [each for each in warnings.filters if each not in filters and _is_broad(each)]:
        kept = [each for each in warnings.filters if each not in broad]
        warnings.resetwarnings()
        warnings.filters[:] = kept  # type: ignore[index]
        yield "it changed how everybody's warnings are treated when it was loaded (undone)"


def _is_broad(filter_: Sequence[Any]) -> bool:
    """Tell whether a filter is about more than its author's own warnings."""
    _, message, category, module, _ = filter_
    return message is None and module is None and category in vars(builtins).values()


def _directory() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return None
