"""Discovery: what is installed is found, and nothing that is wrong with one plugin touches another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from etl_core import plugins
from etl_core.errors import PluginError
from etl_core.plugins import Plugins, PluginStatus, Status

Install = Callable[..., None]

GOOD = """
    import attrs
    from etl_core import Registration, hookimpl

    @attrs.frozen
    class Config:
        path: str = "x"

    @hookimpl
    def etl_register_extract():
        return [Registration("{name}", Config, "nowhere:Source", summary="reads nothing")]
"""


def good(name: str = "good") -> str:
    return GOOD.replace("{name}", name)


def status_of(plugin: str, found: Plugins | None = None) -> PluginStatus:
    found = found or Plugins.discover()
    return next(status for status in found.statuses if status.plugin == plugin)


def test_what_comes_with_the_core_registers_through_the_same_hooks() -> None:
    found = Plugins.discover()
    assert {status.plugin for status in found.statuses if status.distribution == "etl-core"} == {
        "executors",
        "loaders",
        "state",
        "testing",
    }
    assert found.find("load", "upsert").name == "upsert"
    assert found.find("state", "sqlite").name == "sqlite"
    assert found.find("executor", "threads").name == "threads"


def test_an_installed_plugin_is_active_with_all_that_describes_it(install: Install, tmp_path: Path) -> None:
    install("etl-good", good(), version="2.1")
    assert status_of("good").to_json() == {
        "plugin": "good",
        "distribution": "etl-good",
        "version": "2.1",
        "origin": "etl_good_plugin",
        "location": str(tmp_path / "site-packages" / "etl_good_plugin.py"),
        "status": "active",
        "api": 1,
        "summary": "for a test",
        "connectors": [
            {
                "section": "extract",
                "kind": "source",
                "name": "good",
                "summary": "reads nothing",
                "conflict": None,
                "error": None,
                "hint": None,
            }
        ],
        "error": None,
        "hint": None,
        "notes": [],
        "deprecations": [],
    }


def test_looking_at_a_plugin_does_not_import_its_factory(install: Install) -> None:
    install("etl-good", good())
    assert Plugins.discover().find("extract", "good").factory == "nowhere:Source"


BROKEN = {
    "raises at import": ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
    "exits at import": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "is no Python": ("def (", "SyntaxError"),
    "misses a module": ("import surely_not_installed", "surely_not_installed"),
    "has no hook": ("x = 1", "implements no hook"),
    "misspells a hook": (
        "from etl_core import hookimpl\n@hookimpl\ndef etl_register_extrct(): return []",
        "etl_register_extrct is no hook",
    ),
    "marks what is no hook": (
        "from etl_core import hookimpl\n@hookimpl\ndef register(): return []",
        "register is no hook",
    ),
    "forgets the mark": ("def etl_register_extract(): return []", "not marked with @hookimpl"),
    "takes arguments": (
        "from etl_core import hookimpl\n@hookimpl\ndef etl_register_extract(pm): return []",
        "PluginValidationError",
    ),
    "raises in its hook": (
        "from etl_core import hookimpl\n@hookimpl\ndef etl_register_extract(): return 1 / 0",
        "ZeroDivisionError",
    ),
    "returns something else": (
        "from etl_core import hookimpl\n@hookimpl\ndef etl_register_extract(): return ['x']",
        "did not return a list of registrations",
    ),
}
REGISTER = """
    import attrs
    from etl_core import Registration, hookimpl

    @attrs.frozen
    class Config:
        schema: str = "x"

    @hookimpl
    def etl_register_destination():
        return [{}]
"""
BROKEN |= {
    "uses an engine's key": (
        REGISTER.format("Registration('x', Config, 'a.b:C')"),
        "settings whose names the engine uses: schema",
    ),
    "has no config class": (REGISTER.format("Registration('x', dict, 'a:C')"), "is not an attrs class"),
    "has a strange name": (REGISTER.format("Registration('x y', Config, 'a:C')"), "is not made of letters"),
    "has no factory": (REGISTER.format("Registration('x', Config, 'a.b')"), "the factory of x"),
    "has types nobody knows": (
        "from __future__ import annotations\n"
        + dedent(REGISTER).replace("schema: str", "path: Unheard").format("Registration('x', Config, 'a:C')"),
        "types that cannot be resolved: name 'Unheard'",
    ),
    "registers twice": (
        REGISTER.replace("schema", "path").format(
            "Registration('x', Config, 'a:C'), Registration('x', Config, 'a:D')"
        ),
        "registers x twice",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_is_a_status_and_harms_no_other(install: Install, what: str) -> None:
    code, reason = BROKEN[what]
    install("etl-bad", code)
    install("etl-good", good())
    found = Plugins.discover()
    bad = status_of("bad", found)
    assert (bad.status, bad.connectors) == (Status.BROKEN, ())
    assert reason in str(bad.error)
    assert found.find("extract", "good").name == "good"


def test_naming_a_broken_plugin_says_what_broke_it(install: Install) -> None:
    install("etl-bad", "raise RuntimeError('no licence')")
    with pytest.raises(PluginError, match=r"etl-bad 1\.0.*status=broken.*no licence") as caught:
        Plugins.discover().find("extract", "bad")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_plugin_for_another_contract_is_incompatible(install: Install) -> None:
    install("etl-new", good("new").replace('summary="reads nothing"', "api=99"))
    found = Plugins.discover()
    status = status_of("new", found)
    assert (status.status, status.api) == (Status.INCOMPATIBLE, 99)
    with pytest.raises(PluginError, match=r"status=incompatible.*API 99"):
        found.find("extract", "new")


def test_two_distributions_of_one_name_are_an_error_only_when_it_is_named(install: Install) -> None:
    install("etl-one", good("same"))
    install("etl-two", good("same"), version="3.0")
    install("etl-good", good())
    found = Plugins.discover()
    assert found.find("extract", "good").name == "good"
    with pytest.raises(PluginError, match=r"etl-one 1\.0 and etl-two 3\.0"):
        found.find("extract", "same")


def test_a_misspelt_name_gets_the_nearest(install: Install) -> None:
    install("etl-good", good("postgres-copy"))
    with pytest.raises(PluginError) as caught:
        Plugins.discover().find("extract", "postgres-cpoy")
    assert caught.value.hint == "did you mean postgres-copy?"


def test_an_unknown_name_says_what_to_install_and_what_is_there(install: Install) -> None:
    install("etl-good", good())
    with pytest.raises(PluginError) as caught:
        Plugins.discover().find("extract", "zzz-unheard-of")
    assert "pip install etl-zzz-unheard-of" in str(caught.value.hint)
    assert "good" in str(caught.value.hint)


def test_a_name_of_another_section_says_what_it_is() -> None:
    with pytest.raises(PluginError) as caught:
        Plugins.discover().find("extract", "upsert")
    assert str(caught.value.hint).startswith("upsert is a loader")


@pytest.mark.parametrize("name", ["good", "etl-good"])
def test_plugins_can_be_blocked_by_either_name(install: Install, name: str) -> None:
    install("etl-good", "raise RuntimeError('must not be imported')")
    status = status_of("good", Plugins.discover(disable=f"other, {name}"))
    assert status.status is Status.BLOCKED
    with pytest.raises(PluginError, match="status=blocked"):
        Plugins.discover(disable=name).find("extract", "good")


def test_an_allow_list_blocks_all_others_but_what_comes_with_the_core(install: Install) -> None:
    install("etl-good", good())
    install("etl-more", good("more"))
    found = Plugins.discover(load="more")
    assert status_of("good", found).status is Status.BLOCKED
    assert status_of("more", found).status is Status.ACTIVE
    assert status_of("loaders", found).status is Status.ACTIVE


def test_plugins_are_loaded_once_per_process() -> None:
    assert plugins.installed() is plugins.installed()


def test_the_environment_is_obeyed(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("etl-good", good())
    monkeypatch.setenv(plugins.DISABLE, "good")
    assert status_of("good", plugins.installed()).status is Status.BLOCKED
    monkeypatch.delenv(plugins.DISABLE)
    monkeypatch.setenv(plugins.LOAD, "")
    assert status_of("good", plugins.installed()).status is Status.BLOCKED


def test_looking_at_every_installed_plugin_loads_nothing_heavy() -> None:
    program = "import sys, json; from etl_core.plugins import installed; installed()"
    program += "; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"pyarrow", "duckdb", "psycopg", "rich", "yaml", "cattrs", "loguru", "tenacity", "numpy"}
    assert not heavy & set(json.loads(done.stdout))
