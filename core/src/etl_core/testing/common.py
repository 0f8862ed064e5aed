"""The clauses that every kind of connector is held to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import attrs

from etl_core.errors import ConfigError, EtlError
from etl_core.hookspecs import API
from etl_core.testing.base import Conformance
from etl_core.testing.child import environment_of
from etl_core.testing.leftovers import Census, is_blind, own_temporary
from etl_core.testing.secrets import plain_secrets, secrets_of, spoiled
from etl_core.testing.verdicts import expect, fail, not_reached, skip
from etl_core.testing.watch import Watch

__all__ = ["CommonClauses", "loaded_by"]

_HEAVY = "import sys, json; import {}; print(json.dumps(sorted(sys.modules)))"

#: Seconds within which a library gives back a pipe that it does not keep.
_MOMENT = 1.0
#: Seconds within which a module is imported.
_IMPORTED = 60.0


class CommonClauses(Conformance):
    """Registration, settings, secrets, and what is left behind."""

    def test_it_can_be_used(self) -> None:
        """With the settings given it is made, checked, used once and closed.

        Give settings that work here; nothing else is tried before this does.
        """
        self.exercise()

    def test_it_is_registered_with_words(self) -> None:
        """Its registration has a one-line summary and this core's `api`; each setting says what it is for.

        Give `Registration(summary=...)`, and declare settings with `etl_core.setting(help=...)`.
        """
        registration = self.registration
        expect(
            registration.api == API,
            "it was written for another version of the contract",
            api=registration.api,
        )
        expect(registration.summary.strip(), "the registration has no summary")
        expect("\n" not in registration.summary, "the summary is more than one line")
        if registration.config is None:
            return
        mute = [each.alias for each in attrs.fields(registration.config) if not each.metadata.get("help")]
        expect(not mute, "settings without a sentence that says what they are for", settings=", ".join(mute))

    def test_looking_at_it_is_light(self) -> None:
        """Loading the module of its settings imports neither pyarrow nor the module of its factory.

        Give the factory as "package.module:Class", and import neither in `plugin.py` nor in `config.py`.
        """
        config = self.registration.config
        if config is None:
            skip("it has no settings")
        factory = self.registration.factory
        expect(isinstance(factory, str), "the factory is imported with the plugin")
        loaded = loaded_by(config.__module__)
        expect("pyarrow" not in loaded, "looking at it imports pyarrow", module=config.__module__)
        heavy = str(factory).partition(":")[0]
        expect(heavy not in loaded, "looking at it imports its factory", module=heavy)

    def test_an_unknown_setting_is_refused(self) -> None:
        """A setting it does not have is an error, not ignored.

        Take settings through the config class alone; have none that takes everything.
        """
        if self.registration.config is None:
            skip("it has no settings")
        try:
            self.make(surely_no_such_setting=1)
        except ConfigError:
            return
        fail("a setting that does not exist was accepted")

    def test_secrets_stay_secret(self) -> None:
        """No secret of its settings is in a repr, log line, event, position or error, also when it is wrong.

        Declare it as `Secret`, `reveal` it where it is used, give it to no process as an argument, and put no
        text of a driver's error into yours.
        """
        plain = list(plain_secrets(self.registration.config)) if self.registration.config else []
        expect(
            not plain,
            "a setting has the name of a secret and is not declared as `Secret`",
            settings=", ".join(plain),
        )
        config = self.configured(self.settings)
        found = secrets_of(config)
        if not found:
            skip("it has no secret settings")
        with Watch(self.logs, self.events, self.stored) as watch:
            watch.look(config)
            with _closing(self.make()) as made:
                watch.look(made)
            self.exercise()
            for path in found:
                self._with_wrong_secret(path, watch)
        for path, values in found.items():
            for value in values:
                place = watch.place_of(value)
                expect(place is None, "a secret can be read", setting=".".join(path), where=place)

    def _with_wrong_secret(self, path: tuple[str, ...], watch: Watch) -> None:
        """Use it with a secret that opens nothing; what it says then is watched too."""
        with self._spoiled(path) as marks:
            try:
                self.exercise()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - any error may tell too much
                watch.error(error)
        for mark in marks:
            place = watch.place_of(mark)
            expect(place is None, "a secret that is wrong is shown", setting=".".join(path), where=place)

    @contextmanager
    def _spoiled(self, path: tuple[str, ...]) -> Iterator[list[str]]:
        """Have a secret that opens nothing among the settings; give what it was replaced with."""
        settings, marks = spoiled(self.settings, path)
        given = self.given
        self.given = (settings, self.directory if given is None else given[1])
        try:
            yield marks
        finally:
            self.given = given

    def test_nothing_is_left_behind(self) -> None:
        """After `close` no thread, open file, connection, process or temporary file of it is left.

        Start threads with `ctx.spawn` only, and close in `close` what you opened, also after a failure.
        """
        with own_temporary(self.directory / "temporary") as made:
            self.exercise()  # what a library keeps for the whole process is there after the first use
            uses: list[Callable[[], None]] = [
                self.exercise,
                *(partial(self._fail, path) for path in self._secrets()),
            ]
            left = next(filter(None, (self._left_by(use, made) for use in uses)), [])
        expect(not left, "something was left behind", left=", ".join(left))
        if is_blind():
            not_reached("here only threads and temporary files can be looked at, as there is no /proc")

    def _left_by(self, use: Callable[[], None], made: Callable[[], set[str]]) -> list[str]:
        """Return what is there after a use that was not before; of pipes and such, what each use adds to."""
        census, files = Census(), made()
        use()
        left = census.left(self.grace) + sorted(made() - files)
        if not (grown := census.grown(_MOMENT)):
            return left
        again = Census()
        use()
        return left + sorted({*grown} & {*again.grown(_MOMENT)})

    def _secrets(self) -> Iterable[tuple[str, ...]]:
        return secrets_of(self.configured(self.settings))

    def _fail(self, path: tuple[str, ...]) -> None:
        """Use it with a secret that opens nothing."""
        with self._spoiled(path), suppress(Exception, SystemExit):
            self.exercise()


@contextmanager
def _closing(made: Any) -> Iterator[Any]:
    """Give a connector, and close it where its kind has a `close`."""
    try:
        yield made
    finally:
        getattr(made, "close", lambda: None)()


def loaded_by(module: str) -> set[str]:
    """Return the modules that a new interpreter has after importing one."""
    command = [sys.executable, "-c", _HEAVY.format(module)]
    try:
        done = subprocess.run(
            command, env=environment_of({}), capture_output=True, check=True, timeout=_IMPORTED
        )
    except subprocess.CalledProcessError:
        raise EtlError("the module of the settings cannot be imported by itself", module=module) from None
    except subprocess.TimeoutExpired:
        raise EtlError("importing the module of the settings does not end", module=module) from None
    return set(json.loads(done.stdout.splitlines()[-1]))  # what it printed itself comes before
