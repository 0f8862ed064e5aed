"""Parts of a clause in a process of its own, which can be killed at a named place.

A part is a function of one JSON value, named `module:function`; it is imported in the child. The kits' parts
make the connector anew from its registration and settings, as a run does.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from etl_core.document import Section
from etl_core.hookspecs import Registration
from etl_core.resolve import configured, make, named
from etl_core.testing.base import Conformance
from etl_core.testing.child import Part, command_of, environment_of
from etl_core.testing.verdicts import fail, not_reached

__all__ = ["Part", "connector_of", "main", "registration_of", "run_part", "spec_of"]

_KILLED = -9


def run_part(
    part: Part, argument: Mapping[str, Any], *, kill_at: str | None = None, deadline: float = 60.0
) -> bool:
    """Run a part in a child; True when it came to its end, False when it was killed at `kill_at`.

    `kill_at` is `name` or `name:n` of `etl_core.engine.failpoints`. Any other end breaks the clause.
    """
    try:
        done = subprocess.run(
            command_of(part),
            input=json.dumps(argument),
            env=environment_of({"ETL_FAILPOINT": kill_at} if kill_at else {}),
            text=True,
            errors="replace",
            capture_output=True,
            check=False,
            timeout=deadline,
        )
    except subprocess.TimeoutExpired:
        fail("a run in a process of its own did not end", deadline=deadline, killed_at=kill_at)
    if done.returncode == _KILLED and kill_at:
        return False
    last = done.stderr.strip().splitlines()[-1:] or [""]
    if done.returncode != 0:
        fail(
            "a run in a process of its own failed",
            exit_code=done.returncode,
            error=last[0],
            killed_at=kill_at,
        )
    return True


def spec_of(kit: Conformance) -> dict[str, Any]:
    """Return what a child needs to make the kit's connector: see `registration_of`."""
    config, factory = kit.registration.config, kit.registration.factory
    name = factory if isinstance(factory, str) else _name_of(factory)
    return {
        "name": kit.registration.name,
        "section": kit.section,
        "config": None if config is None else _name_of(config),
        "factory": name,
        "settings": json.loads(json.dumps(kit.settings, default=_no_json)),
        "base": str(kit.directory if kit.given is None else kit.given[1]),
        "directory": str(kit.directory),
        "namespace": kit.namespace,
    }


def registration_of(spec: Mapping[str, Any]) -> Registration:
    """Return the registration that `spec_of` described."""
    config = None if spec["config"] is None else named(spec["config"])
    return Registration(spec["name"], config, spec["factory"])


def connector_of(spec: Mapping[str, Any]) -> Any:
    """Make the connector that `spec_of` described."""
    registration = registration_of(spec)
    section = Section(spec["section"], (), spec["name"], spec["settings"])
    return make(registration, configured(registration, section, Path(spec["base"])))


def _name_of(thing: Any) -> str:
    name = f"{thing.__module__}:{getattr(thing, '__qualname__', '')}"
    if "<" in name or name.endswith(":"):
        not_reached("a child process cannot import it: define it at the top of a module", found=name)
    return name


def _no_json(value: object) -> NoReturn:
    not_reached("a setting is no JSON value")


def main() -> None:
    """Run the part named on the command line with the argument on stdin."""
    # A shell that starts tests in the background has SIGINT ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    part: Part = named(sys.argv[1])
    part(json.loads(sys.stdin.readline()))


if __name__ == "__main__":
    main()
