"""What every kit has: a registration, a config, a directory and a context for each clause.

Kits import no pytest, so that `etl-core certify` runs them where none is installed; pytest finds their
clauses as the `test_` methods of a subclass whose name starts with `Test`.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from loguru import logger

from etl_core.document import Section
from etl_core.events import Event
from etl_core.hookspecs import Registration
from etl_core.resolve import configured, make
from etl_core.testing.contexts import KitContext
from etl_core.testing.verdicts import expect

__all__ = ["Conformance"]


class _Records(logging.Handler):
    """Keeps what is logged through the standard library."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


class Conformance:
    """One connector under test. Subclass a kit of its kind and give `registration` and `config`.

    Every clause gets a new instance with a new `directory`, removed after it, and a new `namespace` for
    tables and streams in systems that outlive the clause.
    """

    #: The connector under test, as its hook returns it.
    registration: ClassVar[Registration]
    #: The section of a document (or the role) the kit is for.
    section: ClassVar[str]
    #: Seconds the connector may take to end after it was asked to.
    grace: ClassVar[float] = 10.0

    directory: Path
    namespace: str
    #: Every line logged since the clause began, through loguru or the standard library.
    logs: list[str]
    #: What each context of the clause was told, which measurements are too.
    events: list[list[Event]]
    #: What the uses of the clause left to be stored, and to be printed by `state show`: positions.
    stored: list[Any]
    #: Settings that replace `config`, and where their relative paths start: those of `certify --config`.
    given: tuple[Mapping[str, Any], Path] | None = None

    def config(self) -> Mapping[str, Any]:
        """Return the settings as a document has them; paths may lie in `self.directory`."""
        return {}

    def prepare(self) -> None:
        """Make what the clause needs: start a server, create tables. Called before each clause."""

    def clean(self) -> None:
        """Remove what `prepare` made. Called after each clause, also after a failure."""

    def setup_method(self) -> None:
        """Called before each clause, by pytest or by `run`."""
        self.begin(Path(tempfile.mkdtemp(prefix="etl-conformance-")), f"conformance_{uuid.uuid4().hex[:12]}")
        self._sink = logger.add(lambda line: self.logs.append(str(line)), level=0, format="{message} {extra}")
        self._handler = _Records(self.logs)
        logging.getLogger().addHandler(self._handler)
        try:
            self.prepare()
        except BaseException:
            self.teardown_method()
            raise

    def begin(self, directory: Path, namespace: str) -> None:
        """Have what a clause begins with, here or in a child process that goes on with it."""
        self.directory, self.namespace = directory, namespace
        self.logs, self.events, self.stored = [], [], []

    def teardown_method(self) -> None:
        """Called after each clause, by pytest or by `run`."""
        try:
            self.clean()
        finally:
            logging.getLogger().removeHandler(self._handler)
            logger.remove(self._sink)
            shutil.rmtree(self.directory, ignore_errors=True)

    def gives(self, name: str) -> bool:
        """Tell whether the author of this kit said what `name` is, and be it None."""
        written = [cls for cls in type(self).__mro__ if name in vars(cls)]
        return written[0] is not written[-1]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings under test: what `certify` was given, else what `config` returns, paths as texts."""
        return {name: _plain(value) for name, value in self._settings.items()}

    @property
    def _settings(self) -> Mapping[str, Any]:
        return self.config() if self.given is None else self.given[0]

    def configured(self, settings: Mapping[str, Any]) -> Any:
        """Return the config object that settings make; raise what a document with them is refused with."""
        base = self.directory if self.given is None else self.given[1]
        section = Section(self.section, (), self.registration.name, settings)
        return configured(self.registration, section, base)

    def make(self, **changed: Any) -> Any:
        """Make a new connector as a run does, some of its settings `changed`."""
        return make(self.registration, self.configured({**self.settings, **changed}))

    @contextmanager
    def context(self, *, epoch: int = 1) -> Iterator[KitContext]:
        """Give a context for one life of a connector; what was spawned through it must end with it."""
        ctx = KitContext(
            pipeline=self.namespace,
            connector=self.registration.name,
            spill=self.directory / "spill",
            epoch=epoch,
        )
        self.events.append(ctx.listener.events)
        stuck = None
        try:
            yield ctx
        finally:
            stuck = ctx.close(self.grace)
        expect(
            not stuck, "threads of ctx.spawn did not end when they were asked to", threads=", ".join(stuck)
        )

    def exercise(self) -> None:
        """Use the connector once as a run does, from making it to closing it. Given by the kit."""
        raise NotImplementedError


def _plain(value: Any) -> Any:
    """Return a setting as a document has it: a path is a text there."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
