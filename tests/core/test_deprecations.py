"""A name that goes away warns first, at the line that uses it; a plugin that uses one is shown."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner

import etl_core
from etl_core import deprecations
from etl_core.cli.app import app
from etl_core.deprecations import Deprecation, EtlDeprecationWarning, noticed, value_of
from etl_core.plugins import Plugins, Status

ROOT = Path(__file__).resolve().parents[2]
OLD = Deprecation("etl_core.Strom", "etl_core.model:Stream", "0.2", "0.4", "use etl_core.Stream")
SAID = "etl_core.Strom is deprecated since 0.2 and goes with 0.4: use etl_core.Stream"
Install = Callable[..., None]
PLUGIN = """
    import attrs
    from etl_core import Registration, Strom, hookimpl

    @attrs.frozen
    class Config:
        pass

    @hookimpl
    def etl_register_extract():
        return [Registration("{name}", Config, "nowhere:Source")]
"""


@pytest.fixture(autouse=True)
def _old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecations, "NAMES", {OLD.name: OLD})


def test_a_deprecated_name_works_and_warns_every_time_at_the_line_that_uses_it() -> None:
    for _ in range(2):
        with pytest.warns(EtlDeprecationWarning, match=SAID) as warned:
            assert etl_core.Strom is etl_core.Stream
        assert warned[0].filename == __file__
    with pytest.warns(EtlDeprecationWarning) as warned:
        from etl_core import Strom
    assert Strom is etl_core.Stream
    assert warned[0].filename == __file__


def test_the_warning_says_what_and_when_to_programs() -> None:
    with pytest.warns(EtlDeprecationWarning) as warned:
        value_of("etl_core", "Strom")
    warning = warned[0].message
    assert isinstance(warning, EtlDeprecationWarning)
    assert (warning.name, warning.since, warning.removed_in) == ("etl_core.Strom", "0.2", "0.4")
    assert warning.instead == "use etl_core.Stream"


def test_a_deprecated_name_is_not_listed() -> None:
    assert "Strom" not in dir(etl_core)
    assert "Strom" not in etl_core.__all__


@pytest.mark.filterwarnings("ignore::etl_core.EtlDeprecationWarning")
def test_what_is_used_is_collected_once_and_only_where_somebody_collects() -> None:
    value_of("etl_core", "Strom")
    with noticed() as seen:
        value_of("etl_core", "Strom")
        value_of("etl_core", "Strom")
    assert seen == [SAID]


@pytest.mark.filterwarnings("ignore::etl_core.EtlDeprecationWarning")
def test_every_plugin_that_uses_it_is_shown_and_works(install: Install) -> None:
    install("etl-one", PLUGIN.replace("{name}", "one"))
    install("etl-two", PLUGIN.replace("{name}", "two"))
    found = {status.plugin: status for status in Plugins.discover().statuses}
    for name in ("one", "two"):
        assert found[name].status is Status.ACTIVE
        assert found[name].to_json()["deprecations"] == [SAID]
    assert found["loaders"].deprecations == ()


@pytest.mark.filterwarnings("ignore::etl_core.EtlDeprecationWarning")
def test_list_plugins_says_it_below_the_table(install: Install) -> None:
    install("etl-one", PLUGIN.replace("{name}", "one"))
    printed = CliRunner().invoke(app, ["list-plugins"]).stdout.splitlines()
    assert printed[-1] == f"etl-one 1.0: {SAID}"


def test_where_warnings_are_errors_the_plugin_is_broken_by_it(install: Install) -> None:
    install("etl-one", PLUGIN.replace("{name}", "one"))
    status = next(one for one in Plugins.discover().statuses if one.plugin == "one")
    assert status.status is Status.BROKEN
    assert SAID in str(status.error)


def test_what_is_deprecated_today_has_warned_for_a_whole_minor_release_when_it_goes() -> None:
    """The table of this release, not the one of these tests: a name past its time has to be taken out."""
    program = "from etl_core.deprecations import NAMES; import attrs, json; print(json.dumps("
    program += "{name: attrs.asdict(one) for name, one in NAMES.items()}))"
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)
    version = tomllib.loads((ROOT / "core" / "pyproject.toml").read_text())["project"]["version"]
    names = {name: Deprecation(**one) for name, one in json.loads(printed).items()}
    assert late(names.values(), version) == []
    assert not names.keys() & {f"etl_core.{name}" for name in etl_core.__all__}
    assert all(name == one.name for name, one in names.items())


def test_a_name_that_goes_too_early_or_should_be_gone_is_found() -> None:
    early = Deprecation("etl_core.A", "a:b", "0.2", "0.3", "use B")
    assert late([early, OLD], "0.3.1") == ["etl_core.A"]
    assert late([OLD], "0.4.0") == ["etl_core.Strom"]
    assert late([Deprecation("etl_core.A", "a:b", "1.5", "2.0", "use B")], "1.6.0") == []
    assert late([Deprecation("etl_core.A", "a:b", "1.5", "1.9", "use B")], "1.6.0") == ["etl_core.A"]


def late(names: Iterable[Deprecation], version: str) -> list[str]:
    """Return the names that go without the warning time of the policy, or have outlived their removal."""
    return [one.name for one in names if _wrong(one, version)]


def _wrong(one: Deprecation, version: str) -> bool:
    since, removed, now = (
        tuple(map(int, text.split(".")[:2])) for text in (one.since, one.removed_in, version)
    )
    early = removed[0] == since[0] and (since[0] >= 1 or removed[1] < since[1] + 2)
    return early or now >= removed
