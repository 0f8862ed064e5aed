"""The clauses of a kit, and running them without pytest.

A clause is a method `test_<name>`. The first line of its docstring is the promise, what follows says what to
do when it is broken. They run in the order in which they are written, those of base classes first; each on a
new instance of the kit. The first is `it_can_be_used`: when that fails the others are not reached.
"""

from __future__ import annotations

import inspect
import time
import unittest
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from attrs import frozen

from etl_core.errors import EtlError
from etl_core.testing.base import Conformance
from etl_core.testing.secrets import secrets_of
from etl_core.testing.verdicts import NotReached, Verdict

__all__ = ["FIRST", "UNUSABLE", "Clause", "Outcome", "clauses_of", "run"]

FIRST = "it_can_be_used"
#: Why no other clause was reached when the first one failed.
UNUSABLE = "the connector could not be used at all"
_PREFIX = "test_"


@frozen
class Clause:
    """One promise: its name, what is promised, and what to do when it is broken."""

    name: str
    promise: str
    advice: str


@frozen
class Outcome:
    """How one clause ended, why when it did not pass, and the seconds it took."""

    clause: Clause
    verdict: Verdict
    reason: str = ""
    seconds: float = 0.0


def clauses_of(kit: type[Conformance]) -> list[Clause]:
    """Return the clauses of a kit in the order in which they run."""
    names: dict[str, None] = {}
    for cls in reversed(kit.__mro__):
        names.update(dict.fromkeys(name for name in vars(cls) if name.startswith(_PREFIX)))
    first = _PREFIX + FIRST
    ordered = sorted((name for name in names if callable(getattr(kit, name))), key=lambda name: name != first)
    return [_clause(kit, name) for name in ordered]


def run(
    kit: type[Conformance],
    prepare: Callable[[Conformance], None] = lambda kit: None,
    only: Iterable[str] = (),
    begin: Callable[[Clause], None] = lambda clause: None,
) -> Iterator[Outcome]:
    """Run the clauses of a kit (or `only` those named) and yield each outcome as it is known.

    `prepare` is called with each new instance before its clause runs, `begin` with each clause before it is
    tried.
    """
    chosen, usable = set(only), True
    for clause in clauses_of(kit):
        if chosen and clause.name not in chosen:
            continue
        if not usable:
            yield Outcome(clause, Verdict.NOT_REACHED, UNUSABLE)
            continue
        begin(clause)
        outcome = _try(kit, clause, prepare)
        usable = clause.name != FIRST or outcome.verdict in {Verdict.PASS, Verdict.SKIP}
        yield outcome


def _clause(kit: type[Conformance], name: str) -> Clause:
    text = inspect.getdoc(getattr(kit, name)) or name.removeprefix(_PREFIX).replace("_", " ")
    promise, _, advice = text.partition("\n")
    return Clause(name.removeprefix(_PREFIX), promise.strip(), " ".join(advice.split()))


def _try(kit: type[Conformance], clause: Clause, prepare: Callable[[Conformance], None]) -> Outcome:
    started = time.perf_counter()
    secrets: set[str] = set()
    verdict, reason = _verdict(kit, clause, prepare, secrets)
    for secret in secrets:
        reason = reason.replace(secret, "***")
    return Outcome(clause, verdict, reason, time.perf_counter() - started)


def _verdict(
    kit: type[Conformance], clause: Clause, prepare: Callable[[Conformance], None], secrets: set[str]
) -> tuple[Verdict, str]:
    """Try a clause; put the secrets of the settings, when it did not pass, into `secrets`."""
    instance = kit()
    try:
        prepare(instance)
        instance.setup_method()
        try:
            getattr(instance, _PREFIX + clause.name)()
        except Exception:
            secrets.update(_secrets(instance))
            raise
        finally:
            instance.teardown_method()
    except unittest.SkipTest as skipped:
        return Verdict.SKIP, str(skipped)
    except NotReached as missing:
        return Verdict.NOT_REACHED, str(missing)
    except AssertionError as broken:
        return Verdict.FAIL, str(broken)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a connector may raise anything; that is a result
        return Verdict.FAIL, _told(error)
    return Verdict.PASS, ""


def _secrets(instance: Conformance) -> set[str]:
    """Return the texts that are not to be shown; none where the settings make no config."""
    try:
        found = secrets_of(instance.configured(instance.settings))
    except Exception:  # noqa: BLE001 - what is wrong with them another clause says
        return set()
    return {text for texts in found.values() for text in texts}


def _told(error: BaseException) -> str:
    """Say what was raised; the text of an error of ours only, as any other may hold values."""
    text: Any = str(error) if isinstance(error, EtlError) else "its text is not shown: it may hold values"
    return f"{type(error).__name__}: {text}"
