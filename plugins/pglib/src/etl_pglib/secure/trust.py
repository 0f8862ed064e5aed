"""Which TLS the parameters ask for, by libpq's rules of the page "SSL Support" of PostgreSQL's documentation.

The rules are read again here, since Python's `ssl` is another OpenSSL than libpq's. Where they cannot be kept
to the letter the answer is Unsupported, never less.
"""

from __future__ import annotations

import os
import pwd
import ssl
from collections.abc import Mapping
from pathlib import Path

from etl_pglib.secure.parameters import Parameters, Unsupported

__all__ = ["ALPN", "context"]

ALPN = "postgresql"
_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def context(parameters: Parameters) -> ssl.SSLContext:
    """Return the settings of TLS. The host's name is not checked by them. Raises Unsupported."""
    options = parameters.options
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.minimum_version = _VERSIONS[options["ssl_min_protocol_version"]]
    if "ssl_max_protocol_version" in options:
        made.maximum_version = _VERSIONS[options["ssl_max_protocol_version"]]
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols([ALPN])
    home = _home()
    try:
        _trust(made, options, home)
        _identify(made, options, home)
    except (OSError, ValueError):
        # libpq has used the same files; what Python's OpenSSL cannot read is another matter.
        raise Unsupported("the files of TLS") from None
    return made


def _trust(made: ssl.SSLContext, options: Mapping[str, str], home: Path | None) -> None:
    """Verify the chain wherever there is a root certificate, even where `sslmode` does not ask for it."""
    root = _file(options.get("sslrootcert"), home, "root.crt")
    made.verify_mode = ssl.CERT_REQUIRED
    if options.get("sslrootcert") == "system":
        made.set_default_verify_paths()
    elif root is not None and root.exists():
        made.load_verify_locations(root)
        _revoke(made, options, home)
    elif options["sslmode"].startswith("verify"):
        raise Unsupported("verification without a root certificate")
    else:
        made.verify_mode = ssl.CERT_NONE


def _revoke(made: ssl.SSLContext, options: Mapping[str, str], home: Path | None) -> None:
    lists, directory = options.get("sslcrl"), options.get("sslcrldir")
    if lists is None and directory is None:
        default = _file(None, home, "root.crl")
        if default is None or not default.exists():
            return
        lists = str(default)
    made.load_verify_locations(lists, directory)
    made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


def _identify(made: ssl.SSLContext, options: Mapping[str, str], home: Path | None) -> None:
    """Show the client's certificate where there is one."""
    certificate = _file(options.get("sslcert"), home, "postgresql.crt")
    if options["sslcertmode"] == "disable" or certificate is None or not certificate.exists():
        return
    key = _file(options.get("sslkey"), home, "postgresql.key")
    # Without a function OpenSSL would ask at the terminal.
    made.load_cert_chain(certificate, key, password=lambda: options.get("sslpassword", ""))


def _file(given: str | None, home: Path | None, name: str) -> Path | None:
    if given is not None:
        return Path(given)
    return home / ".postgresql" / name if home is not None else None


def _home() -> Path | None:
    if home := os.environ.get("HOME"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
