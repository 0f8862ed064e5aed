"""An installed PostgreSQL, for what the wheels' servers lack: TLS, channel binding, contrib."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.tls import Certificates

from etl_pglib import binaries
from etl_pglib.embedded import EmbeddedPostgres

__all__ = ["InstalledPostgres", "programs"]


def programs() -> Path:
    """The directory of an installed PostgreSQL's programs, the newest that has contrib."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    on_path = shutil.which("postgres")
    found += [Path(on_path).resolve().parent] if on_path else []
    for directory in reversed(found):
        share = Path("/usr/share/postgresql") / directory.parent.name / "extension"
        near = directory.parent / "share" / "extension"
        if any((place / "hstore.control").exists() for place in (share, near)):
            return directory
    pytest.skip("no installed PostgreSQL with contrib: what asks for its TLS, types or bindings was not run")


class InstalledPostgres(EmbeddedPostgres):
    """A private server of the installed version with TLS, whose certificate `certificates` signs."""

    def secure(self, certificates: Certificates) -> None:
        """Set TLS up; certificate and key have to lie where the server's user can read them."""
        names = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file")
        files = (*certificates.sign("server", "server"), certificates.authority)
        for name, file in zip(names, files, strict=True):
            copy = Path(shutil.copy(file, self.home / file.name))
            copy.chmod(0o600)
            if (owner := binaries.identity()) is not None:
                os.chown(copy, owner.uid, owner.gid)
            self.settings[name] = str(copy)
        self.settings["ssl"] = "on"

    def program(self, name: str) -> Path:
        return programs() / name
