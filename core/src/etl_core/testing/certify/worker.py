"""The process in which `certify` loads a plugin's kit and runs its clauses.

It is a process of its own, so that a connector which hangs, prints, leaks or dies cannot harm the report. It
reads requests from stdin and answers on stdout, a JSON value per line each. The connector has neither: it
reads nothing, and what it prints goes to stderr.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from etl_core.cli.ending import end
from etl_core.entrypoints import points_of
from etl_core.errors import ConfigError, EtlError
from etl_core.testing import clauses
from etl_core.testing.base import Conformance
from etl_core.testing.certify.kits import GROUP, kits_of, plain_kit, with_settings
from etl_core.testing.certify.requests import Requests
from etl_core.testing.certify.targets import Target, registration_for

__all__ = ["main"]

Say = Callable[..., None]
#: Where the stacks go, also while a clause looks at what is written to descriptor 2.
_STDERR = os.dup(2)


def main() -> None:
    """Answer the requests on stdin, until the last."""
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    def say(event: str, **facts: Any) -> None:
        channel.write(json.dumps({"event": event, **facts}) + "\n")
        channel.flush()

    with Requests(lines, Path(os.environ["TMPDIR"])) as requests, suppress(KeyboardInterrupt):
        for request in requests:
            _answer(request, say)


def _answer(request: dict[str, Any], say: Say) -> None:
    try:
        (_list if request["do"] == "list" else _run)(request, say)
    except EtlError as error:
        facts = {key: str(value) for key, value in error.facts.items()}
        kind = "config" if isinstance(error, ConfigError) else "plugin"
        say("error", kind=kind, message=error.message, hint=error.hint, facts=facts)
    else:
        say("done")


def _list(request: dict[str, Any], say: Say) -> None:
    """Say the kits of each target with their clauses, and whether the settings they need are there."""
    for place, (asked, given) in enumerate(request["targets"]):
        target = Target(**asked)
        for kit in _kits(target):
            if not given and kit is plain_kit(target.section):
                with_settings(registration_for(target))
            say("kit", target=place, kit=_name(kit, target), clauses=_listed(kit, target.section))


def _run(request: dict[str, Any], say: Say) -> None:
    """Run the clauses asked for, saying when each begins and how it ended."""
    target = Target(**request["target"])
    kit = next(each for each in _kits(target) if _name(each, target) == request["kit"])
    _fit(kit, target, request)
    for outcome in clauses.run(kit, only=request["only"], begin=lambda one: _begin(one, request, say)):
        say(
            "end",
            name=outcome.clause.name,
            verdict=outcome.verdict,
            reason=outcome.reason,
            seconds=outcome.seconds,
        )
    faulthandler.cancel_dump_traceback_later()


def _begin(clause: clauses.Clause, request: dict[str, Any], say: Say) -> None:
    """Say which clause begins; one that does not end has its stack on stderr, which --debug shows."""
    faulthandler.dump_traceback_later(request["deadline"], file=_STDERR)
    say("begin", name=clause.name)


def _kits(target: Target) -> list[type[Conformance]]:
    return kits_of(target, points_of(target.distribution, GROUP)) or [plain_kit(target.section)]


def _fit(kit: type[Conformance], target: Target, request: dict[str, Any]) -> None:
    """Make the class, which is this process's only, a kit for what is installed and the settings given."""
    kit.registration = registration_for(target)
    if request["thorough"]:
        kit.thorough = True  # type: ignore[attr-defined]
    if request["given"] is not None:
        settings, base = request["given"]
        kit.given = (settings, Path(base))
    elif kit is plain_kit(target.section):
        names = with_settings(kit.registration)
        kit.config = lambda self: {key: str(self.directory / name) for key, name in names.items()}  # type: ignore[method-assign]


def _listed(kit: type[Conformance], section: str) -> list[dict[str, Any]]:
    """Describe the clauses of a kit, saying what differs from the plain one; then those that it removed."""
    plain = plain_kit(section)
    promised, kept = clauses.clauses_of(plain), clauses.clauses_of(kit)
    names, there = {clause.name for clause in promised}, {clause.name for clause in kept}
    listed = [
        {**attrs.asdict(clause), "changed": clause.name in names and _changed(kit, plain, clause.name)}
        for clause in kept
    ]
    missing = [clause for clause in promised if clause.name not in there]
    return [*listed, *({**attrs.asdict(clause), "left_out": True} for clause in missing)]


def _changed(kit: type[Conformance], plain: type[Conformance], name: str) -> bool:
    """Tell whether the plugin's kit has written a clause anew."""
    return getattr(kit, f"test_{name}") is not getattr(plain, f"test_{name}")


def _name(kit: type[Conformance], target: Target) -> str | None:
    """Return where the kit is from; None for the plain one."""
    return None if kit is plain_kit(target.section) else f"{kit.__module__}:{kit.__qualname__}"


if __name__ == "__main__":
    main()
    end(None)
