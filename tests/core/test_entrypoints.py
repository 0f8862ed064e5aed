"""Finding entry points: whatever is wrong with the metadata of one distribution, the others are found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.registering import good

from etl_core.entrypoints import canonical, found_in, points_of
from etl_core.plugins import Plugins, PluginStatus, Status

Install = Callable[..., None]


@pytest.fixture
def site(install: Install, tmp_path: Path) -> Path:
    """Return where packages are installed; one that is as it should be is among them."""
    install("etl-good", good())
    return tmp_path / "site-packages"


def info_of(site: Path) -> Path:
    return site / "etl_good-1.0.dist-info"


def another(site: Path, points: bytes, metadata: str | None = None) -> Path:
    """Lay out a distribution whose metadata is all wrong."""
    info = site / "etl_odd-3.1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_bytes(points)
    if metadata is not None:
        (info / "METADATA").write_text(metadata, encoding="utf-8")
    return info


def found(distribution: str) -> list[PluginStatus]:
    statuses = Plugins.discover().statuses
    assert next(each for each in statuses if each.distribution == "etl-good").status is Status.ACTIVE
    return [each for each in statuses if each.distribution == distribution]


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (b"[etl_core]\nodd\n", "its entry points cannot be read"),
        (b"[etl_core]\nodd = \xff\n", "its entry points cannot be read"),
        (b"[etl_core]\nodd = not a module\n", "not written as package.module or package.module:object"),
        (b"[etl_core]\nodd =\n", "not written as package.module or package.module:object"),
    ],
)
def test_entry_points_that_cannot_be_read_are_a_broken_plugin(site: Path, points: bytes, reason: str) -> None:
    another(site, points, "Metadata-Version: 2.1\nName: etl-odd\nVersion: 3.1\n")
    [status] = found("etl-odd")
    assert (status.status, status.version) == (Status.BROKEN, "3.1")
    assert reason in str(status.error)
    assert status.location is None


@pytest.mark.parametrize("metadata", [None, "", "Metadata-Version: 2.1\nName: etl-odd\n"])
def test_a_distribution_without_metadata_goes_by_its_directory(site: Path, metadata: str | None) -> None:
    another(site, b"[etl_core]\nodd = etl_odd_plugin\n", metadata)
    (site / "etl_odd_plugin.py").write_text((site / "etl_good_plugin.py").read_text().replace("good", "odd"))
    [status] = found("etl-odd")
    assert (status.status, status.version) == (Status.ACTIVE, "3.1")
    assert "has no name or no version" in status.notes[0]


def test_the_second_of_two_entry_points_of_one_name_is_broken(site: Path) -> None:
    text = "[etl_core]\ngood = etl_good_plugin\ngood = etl_other_plugin\n"
    (info_of(site) / "entry_points.txt").write_text(text)
    first, second = (each for each in Plugins.discover().statuses if each.distribution == "etl-good")
    assert first.status is Status.ACTIVE
    assert (second.status, second.error) == (
        Status.BROKEN,
        "the distribution has another plugin of that name: etl_good_plugin",
    )


def test_two_names_for_one_module_are_one_plugin(site: Path) -> None:
    text = "[etl_core]\ngood = etl_good_plugin\nworse = etl_good_plugin\n"
    (info_of(site) / "entry_points.txt").write_text(text)
    first, second = (each for each in Plugins.discover().statuses if each.distribution == "etl-good")
    assert first.status is Status.ACTIVE
    assert second.error == "it is the same plugin as etl-good:good"


def test_of_two_copies_the_first_on_the_path_is_used(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    for version, kind in (("0.9", "dist-info"), ("1.0", "egg-info")):
        info = elsewhere / f"etl_good-{version}.{kind}"
        info.mkdir(parents=True)
        (info / "entry_points.txt").write_text("[etl_core]\ngood = surely_not_there\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Etl_Good\nVersion: {version}\n")
        (info / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: Etl_Good\nVersion: {version}\n")
    monkeypatch.setattr("sys.path", [*sys.path, str(elsewhere)])
    [status] = found("etl-good")
    assert (status.status, status.version) == (Status.ACTIVE, "1.0")
    assert status.notes == (
        f"it is installed again at {elsewhere / 'etl_good-0.9.dist-info'}, which is not used",
    )


def test_what_a_distribution_requires_and_is_not_there_is_noted(site: Path) -> None:
    head = (info_of(site) / "METADATA").read_text()
    requires = ["surely-not-installed>=2", "attrs>=1", 'never-here; extra == "x"', "(nonsense"]
    (info_of(site) / "METADATA").write_text(head + "".join(f"Requires-Dist: {one}\n" for one in requires))
    [status] = found("etl-good")
    assert status.notes == ("surely-not-installed is not installed, which it says it needs",)


def test_entry_points_of_one_distribution_whatever_its_spelling(site: Path) -> None:
    assert [point.name for point in points_of("Etl_Good", "etl_core")] == ["good"]
    assert points_of("etl-good", "another_group") == []
    assert canonical(" Etl__Good.x") == "etl-good-x"


def test_packages_without_the_group_are_not_looked_at(site: Path) -> None:
    another(site, b"[console_scripts]\nodd\n")
    assert "etl-odd" not in {each.distribution for each in found_in("etl_core")}
