"""The error tree: what an error says, carries and how it travels."""

from __future__ import annotations

import inspect
import pickle

import pytest

from etl_core import errors
from etl_core.errors import (
    Cancelled,
    ConfigError,
    EtlError,
    FatalError,
    PipelineError,
    PluginError,
    PositionLostError,
    Problem,
    RejectedRowsError,
    RetryableError,
    SchemaError,
)

TREE = {
    "ConfigError": (EtlError, 2),
    "PluginError": (EtlError, 3),
    "RetryableError": (EtlError, 1),
    "RejectedRowsError": (EtlError, 4),
    "FatalError": (EtlError, 1),
    "SchemaError": (FatalError, 1),
    "AuthError": (FatalError, 1),
    "StateError": (FatalError, 1),
    "PositionLostError": (FatalError, 1),
}


@pytest.mark.parametrize("name", TREE)
def test_each_class_has_its_place_and_exit_code(name: str) -> None:
    parent, code = TREE[name]
    kind = getattr(errors, name)
    assert kind.__bases__ == (parent,)
    assert kind("x").exit_code == code


def test_the_tree_is_complete() -> None:
    kinds = {
        name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, EtlError)
    }
    assert kinds == {*TREE, "EtlError", "PipelineError"}


def test_a_message_is_constant_and_facts_are_attributes() -> None:
    error = SchemaError("a column is gone", "add it", table="public.a", column=None)
    assert (error.message, error.hint) == ("a column is gone", "add it")
    assert error.table == "public.a"
    assert str(error) == "a column is gone (table=public.a)"
    with pytest.raises(AttributeError):
        _ = error.nothing


def test_problems_are_all_in_the_text() -> None:
    error = ConfigError(
        "the document cannot be used",
        problems=[
            Problem("a.b", "is missing", "write it", "shop.yaml:3"),
            Problem("", "not YAML"),
        ],
        document="shop.yaml",
    )
    assert str(error) == (
        "the document cannot be used (document=shop.yaml)\n"
        "  shop.yaml:3: a.b: is missing\n"
        "    write it\n"
        "  not YAML"
    )


def test_a_pipelines_error_names_pipeline_and_cause() -> None:
    error = PipelineError("shop", PluginError("missing", "install it"))
    assert str(error) == "pipeline shop failed: PluginError: missing"
    assert (error.exit_code, error.hint) == (3, "install it")
    assert error.__cause__ is error.cause
    assert PipelineError("shop", ValueError("x")).exit_code == 1


def test_a_cancel_is_no_exception_anyone_catches_by_accident() -> None:
    assert not issubclass(Cancelled, Exception)
    assert Cancelled.exit_code == 130


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("c", "h", problems=[Problem("a", "b")], table="t"),
        RetryableError("r", retry_after=2.5),
        PositionLostError("p", resnapshot=True, slot="s"),
        RejectedRowsError("x", rows=3),
        PipelineError("shop", FatalError("f", part="y")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_between_processes_whole(error: EtlError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.hint, again.facts) == (str(error), error.hint, error.facts)
    for name in ("problems", "retry_after", "resnapshot"):
        assert getattr(again, name, None) == getattr(error, name, None)
