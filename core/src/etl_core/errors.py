"""Every error etl-core raises, named by what happens next.

    EtlError                        base: a constant message, a hint, facts as attributes
    ├── ConfigError                 the document is wrong: every problem at once, each with its path
    ├── PluginError                 a connector is missing, broken, incompatible or named twice
    ├── RetryableError              go back to the last durable position and read again
    ├── RejectedRowsError           rows were refused and `on_error: fail` says to stop
    ├── PipelineError               a pipeline of a manager failed; carries its name and cause
    └── FatalError                  stop; an operator has to act
        ├── SchemaError             the data no longer fits the destination's schema or policy
        ├── AuthError               credentials or privileges are missing
        ├── StateError              position, claim or fence contradict each other
        └── PositionLostError       the source cannot serve exactly the position asked for

    Cancelled                       not an error: derives from BaseException, never a success

Messages are constant so that they can be searched for; what varies is a fact.
Neither ever holds a row's value or a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import frozen

__all__ = [
    "AuthError",
    "Cancelled",
    "ConfigError",
    "EtlError",
    "FatalError",
    "PipelineError",
    "PluginError",
    "PositionLostError",
    "Problem",
    "RejectedRowsError",
    "RetryableError",
    "SchemaError",
    "StateError",
]


class EtlError(Exception):
    """Base of all errors.

    `message` is constant per call site, `hint` says what to do, `facts` (also readable as
    attributes: ``error.slot``) say which table, slot or path it was about.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts

    def __getattr__(self, name: str) -> object:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(name)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__)

    def __str__(self) -> str:
        facts = ", ".join(f"{key}={value}" for key, value in self.facts.items() if value is not None)
        return f"{self.message} ({facts})" if facts else self.message


def _rebuild(kind: type[EtlError], state: dict[str, object]) -> EtlError:
    """Unpickle any error of the tree whatever its constructor takes (processes exchange them)."""
    error = kind.__new__(kind)
    Exception.__init__(error, state["message"])
    error.__dict__.update(state)
    return error


@frozen
class Problem:
    """One thing wrong in a document: where, what was found, what to write instead.

    `path` is the place in the document (``load.batch.max_rows``), `at` that in its file (``shop.yaml:12``).
    """

    path: str
    message: str
    hint: str | None = None
    at: str | None = None

    def __str__(self) -> str:
        text = ": ".join(part for part in (self.at, self.path, self.message) if part)
        return f"{text}\n    {self.hint}" if self.hint else text


class ConfigError(EtlError):
    """The document, its values or its combination of connectors is wrong; nothing was started."""

    exit_code = 2

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        problems: Iterable[Problem] = (),
        **facts: object,
    ) -> None:
        super().__init__(message, hint, **facts)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  {problem}" for problem in self.problems)])


class PluginError(EtlError):
    """A connector that a pipeline names is missing, broken, incompatible or ambiguous."""

    exit_code = 3


class RetryableError(EtlError):
    """A passing failure: the engine returns to the durable position and reads again.

    `retry_after` (seconds) is the peer's own wish and wins over the computed backoff.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        retry_after: float | None = None,
        **facts: object,
    ) -> None:
        super().__init__(message, hint, **facts)
        self.retry_after = retry_after


class RejectedRowsError(EtlError):
    """Rows were rejected and the pipeline's `on_error` is `fail`."""

    exit_code = 4


class PipelineError(EtlError):
    """A pipeline failed; `pipeline` names it, `cause` is what it failed with."""

    def __init__(self, pipeline: str, cause: BaseException) -> None:
        super().__init__("pipeline failed", getattr(cause, "hint", None), pipeline=pipeline)
        self.cause = cause
        self.__cause__ = cause

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return int(getattr(self.cause, "exit_code", 1))

    def __str__(self) -> str:
        return f"pipeline {self.facts['pipeline']} failed: {type(self.cause).__name__}: {self.cause}"


class FatalError(EtlError):
    """Stop: repeating cannot help, an operator has to act."""


class SchemaError(FatalError):
    """The source's schema does not fit the destination under the pipeline's policy."""


class AuthError(FatalError):
    """A login failed or a privilege is missing."""


class StateError(FatalError):
    """Position, claim or fence contradict each other: another copy runs, or a record is lost."""


class PositionLostError(FatalError):
    """The source cannot serve exactly the position it was asked for.

    With `resnapshot` the source's own settings allow starting over: the engine raises the epoch
    and reads from the beginning instead of stopping.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        resnapshot: bool = False,
        **facts: object,
    ) -> None:
        super().__init__(message, hint, **facts)
        self.resnapshot = resnapshot


class Cancelled(BaseException):
    """The run was asked to stop; what was durable is in the state, the next run resumes there.

    `result` is what was done until then: a PipelineResult, or a manager's outcomes by name.
    """

    exit_code = 130
    result: Any = None
