"""The public surface of `etl_core`: which names there are, where they come from, what importing costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import etl_core

#: Modules whose whole `__all__` is public.
WHOLE = ("model", "schema", "interfaces", "config", "result", "errors")
CHOSEN = {
    "hookspecs": {"API", "Registration", "hookimpl"},
    "deprecations": {"EtlDeprecationWarning"},
    "events": {"Event"},
    "connectors": {"TransformStep"},
    "document": {"Document"},
    "plugins": {"PluginStatus", "list_plugins"},
    "resolve": {"load_document"},
    "engine.documents": {"run_document"},
    "engine.manager": {"PipelineManager"},
    "engine.observing": {"ObserverHub"},
    "engine.pipeline": {"Pipeline"},
}

#: What authors of tests may use of the kit.
TESTING = {
    "testing": {
        "CommandConformance",
        "Conformance",
        "DestinationConformance",
        "ExecutorConformance",
        "LoaderConformance",
        "ObserverConformance",
        "SourceConformance",
        "StateStoreConformance",
        "TransformConformance",
        "Verdict",
    },
    "testing.verdicts": {"Failed", "NotReached", "Verdict", "expect", "fail", "not_reached", "skip"},
    "testing.clauses": {"FIRST", "UNUSABLE", "Clause", "Outcome", "clauses_of", "run"},
}

#: What `import etl_core` may load besides the standard library.
LIGHT = {"etl_core"}
#: What may not be loaded by looking at hooks, errors, the model and settings either.
HEAVY = {"pyarrow", "click", "rich", "yaml", "cattrs", "loguru", "tenacity", "duckdb", "psycopg"}


def public() -> dict[str, set[str]]:
    whole = {module: set(import_module(f"etl_core.{module}").__all__) for module in WHOLE}
    return {**whole, **CHOSEN}


def modules_after(code: str) -> set[str]:
    program = f"import sys; before = set(sys.modules); {code}; import json"
    program += "; print(json.dumps(sorted(m.split('.')[0] for m in set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_public_names_are_exactly_those_of_the_contract_modules() -> None:
    assert set(etl_core.__all__) == set().union(*public().values())
    assert dir(etl_core) == sorted(etl_core.__all__)


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in public().items() for name in sorted(names)]
)
def test_a_public_name_is_its_modules_own(module: str, name: str) -> None:
    assert getattr(etl_core, name) is getattr(import_module(f"etl_core.{module}"), name)


@pytest.mark.parametrize("module", TESTING)
def test_the_public_names_of_the_kit_are_these(module: str) -> None:
    found = import_module(f"etl_core.{module}")
    assert set(found.__all__) == TESTING[module]
    assert all(hasattr(found, name) for name in found.__all__)


def test_type_checkers_and_the_lazy_table_see_the_same_names() -> None:
    tree = ast.parse(Path(etl_core.__file__).read_text(encoding="utf-8"))
    imported = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("etl_core.")
        for alias in node.names
    }
    lazily = {(home, name) for name, home in etl_core._HOME_OF.items()}
    assert imported == lazily | {("etl_core.deprecations", "value_of")}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Pipelin"):
        _ = etl_core.Pipelin


def test_importing_the_package_loads_only_the_standard_library() -> None:
    assert modules_after("import etl_core") - set(sys.stdlib_module_names) <= LIGHT


def test_the_contract_of_a_plugin_module_loads_nothing_heavy() -> None:
    loaded = modules_after("from etl_core import Registration, hookimpl, Secret, setting, Stream, Source")
    assert not loaded & HEAVY
