"""Discovery: what is installed is found, and nothing that is wrong with one plugin touches another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from support.registering import good

from etl_core import plugins
from etl_core.errors import PluginError
from etl_core.plugins import Plugins, PluginStatus, Status

Install = Callable[..., None]


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
    "has a summary that is no text": (
        REGISTER.replace("schema", "path").format("Registration('x', Config, 'a:C', summary=5)"),
        "the summary of x is no text",
    ),
    "has an api that is no number": (
        REGISTER.replace("schema", "path").format("Registration('x', Config, 'a:C', api='1')"),
        "the api of x is no number",
    ),
    "raises what has no text": (
        "class Mute(Exception):\n    def __str__(self): raise OSError\nraise Mute",
        "Mute: it has no text",
    ),
    "raises a novel": ("raise OSError('line\\n' * 1000)", "line line ..."),
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
    assert "\n" not in str(bad.error)
    assert "ETL_DISABLE_PLUGINS=bad" in str(bad.hint)
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
    assert (status.status, status.api, status.hint) == (Status.INCOMPATIBLE, 99, "update etl-core")
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
    assert (status.error, status.hint) == (
        f"ETL_DISABLE_PLUGINS names {name}",
        f"take {name} out of ETL_DISABLE_PLUGINS",
    )
    assert str(status.location).endswith("etl_good_plugin.py")
    with pytest.raises(PluginError, match="status=blocked"):
        Plugins.discover(disable=name).find("extract", "good")


def test_an_allow_list_blocks_all_others_but_what_comes_with_the_core(install: Install) -> None:
    install("etl-good", good())
    install("etl-more", good("more"))
    found = Plugins.discover(load="more")
    good_ = status_of("good", found)
    assert (good_.status, good_.error) == (Status.BLOCKED, "ETL_LOAD_PLUGINS does not name it")
    assert good_.hint == "add good to ETL_LOAD_PLUGINS, or unset it"
    assert status_of("more", found).status is Status.ACTIVE
    assert status_of("loaders", found).status is Status.ACTIVE


def test_names_in_the_lists_are_compared_as_packaging_tools_do(install: Install) -> None:
    install("etl-good", good())
    assert status_of("good", Plugins.discover(disable=" Etl_Good ")).status is Status.BLOCKED


def test_only_what_comes_with_the_core_is_never_blocked(install: Install, tmp_path: Path) -> None:
    install("etl-good", good())
    points = tmp_path / "site-packages" / "etl_good-1.0.dist-info" / "entry_points.txt"
    points.write_text("[etl_core]\netl-core = etl_good_plugin\n")
    assert status_of("etl-core", Plugins.discover(load="")).status is Status.BLOCKED


def test_no_plugins_is_the_reason_where_it_was_given(install: Install) -> None:
    install("etl-good", good())
    status = status_of("good", Plugins.discover(load=plugins.NONE))
    assert (status.error, status.hint) == ("--no-plugins was given", "leave out --no-plugins")


def test_a_name_in_the_lists_that_nobody_has_is_said(install: Install) -> None:
    install("etl-good", good())
    statuses = Plugins.discover().statuses
    assert plugins.unheard_of("good, etl_goof", "etl-core,zzz", statuses) == [
        "ETL_DISABLE_PLUGINS names etl-goof, which is not installed; did you mean etl-good?",
        "ETL_LOAD_PLUGINS names zzz, which is not installed",
    ]
    assert plugins.unheard_of("", plugins.NONE, statuses) == []


def conflict_of(plugin: str, found: Plugins, name: str) -> tuple[str, str | None, str | None]:
    [one] = [each for each in status_of(plugin, found).connectors if each.registration.name == name]
    return one.conflict, one.error, one.hint


def test_duplicates_are_marked_on_every_side(install: Install) -> None:
    for name, version in (("one", "1.0"), ("two", "3.0"), ("three", "1.0")):
        install(f"etl-{name}", good("same"), version=version)
    install("etl-good", good())
    found = Plugins.discover(disable="three")
    hint = "leave one of them out: ETL_DISABLE_PLUGINS=one or ETL_DISABLE_PLUGINS=two"
    assert conflict_of("one", found, "same") == ("duplicate", "etl-two 3.0 registers the same name", hint)
    assert conflict_of("two", found, "same") == ("duplicate", "etl-one 1.0 registers the same name", hint)
    assert conflict_of("good", found, "good") == ("", None, None)
    assert status_of("one", found).status is Status.ACTIVE


COMMANDS = """
    from etl_core import Registration, hookimpl

    @hookimpl
    def etl_register_commands():
        return [Registration(name, None, "a:b", "x") for name in ("certify", "run", "mine")]
"""


def test_a_command_of_the_core_is_not_hidden_by_a_plugins(install: Install) -> None:
    install("etl-rude", COMMANDS)
    found = Plugins.discover()
    assert found.find("commands", "certify").factory == "etl_core.testing.certify.command:command"
    assert conflict_of("rude", found, "certify")[:2] == ("hidden", "etl-core has a command of that name")
    assert conflict_of("testing", found, "certify")[0] == ""
    assert found.find("commands", "mine").name == "mine"
    assert "certify" in [offer.name for offer, _ in found.connectors("commands")]
    hidden = plugins.hiding(found.statuses, {"run"})
    assert conflict_of("rude", Plugins(hidden), "run")[0] == "hidden"


def test_thousands_of_registrations_are_taken(install: Install) -> None:
    many = good().replace(
        "[Registration(", "[Registration('n%d' % n, Config, 'a:B') for n in range(5000)] + [Registration("
    )
    install("etl-many", many)
    assert len(Plugins.discover().connectors("extract")) >= 5001


def test_a_misspelt_hook_gets_the_nearest(install: Install) -> None:
    install("etl-bad", BROKEN["misspells a hook"][0])
    assert "did its author mean etl_register_extract?" in str(status_of("bad").hint)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("import surely_not_installed", "install what has the module surely_not_installed"),
        ("import etl_bad_plugin.more", "reinstall etl-bad"),
        ("raise OSError", "update etl-bad, report it to its authors"),
    ],
)
def test_each_kind_of_failure_has_its_hint(install: Install, code: str, hint: str) -> None:
    install("etl-bad", code)
    assert hint in str(status_of("bad").hint)


def test_a_module_that_is_not_there_has_no_location(install: Install, tmp_path: Path) -> None:
    install("etl-bad", "x = 1", entry="etl_bad_plugin.more:thing")
    assert status_of("bad").location is None
    install("etl-gone", "x = 1", entry="surely_not_there.at_all")
    assert status_of("gone").location is None
    package = tmp_path / "site-packages" / "etl_deep"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemError('must not be imported')")
    (package / "plugin.py").write_text("")
    install("etl-deep", "", entry="etl_deep.plugin")
    status = status_of("deep", Plugins.discover(disable="deep"))
    assert status.location == str(package / "plugin.py")


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
