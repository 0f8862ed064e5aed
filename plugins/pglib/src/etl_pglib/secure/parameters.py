"""What libpq made of DSN, service, password file and environment: all that a second connection needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etl_core import Secret

if TYPE_CHECKING:
    from etl_pglib.client import Connection

__all__ = ["Parameters", "Unsupported"]


class Unsupported(Exception):
    """Something is asked for that only libpq can do; the text says what, and holds no value."""


#: What libpq has resolved elsewhere, and what means nothing over TCP, TLS and the logins spoken here.
_ELSEWHERE = {
    *("service", "servicefile", "user", "password", "passfile", "dbname", "host", "hostaddr", "port"),
    *("client_encoding", "options", "application_name", "fallback_application_name", "replication"),
    *("load_balance_hosts", "requirepeer"),
    *("gssencmode", "krbsrvname", "gsslib", "gssdelegation"),
}
#: What is spoken here, where it has one of these values; every other option has to be unset.
_WORDS = {
    "channel_binding": "disable|prefer|require",
    "connect_timeout": r"-?\d{1,9}",
    "keepalives": r"-?\d{1,9}",
    "keepalives_idle": r"-?\d{1,9}",
    "keepalives_interval": r"-?\d{1,9}",
    "keepalives_count": r"-?\d{1,9}",
    "tcp_user_timeout": r"-?\d{1,9}",
    "sslmode": "allow|prefer|require|verify-ca|verify-full",
    "sslnegotiation": "postgres|direct",
    "sslcompression": "0",
    "sslcert": ".+",
    # With a colon it names a key in an OpenSSL engine.
    "sslkey": "[^:]+",
    # `require` asks whether the server wanted the certificate, which Python's ssl does not tell.
    "sslcertmode": "disable|allow",
    "sslpassword": ".+",
    "sslrootcert": ".+",
    "sslcrl": ".+",
    "sslcrldir": ".+",
    "sslsni": "[01]",
    "require_auth": r"!?[a-z0-9-]+(,!?[a-z0-9-]+)*",
    "min_protocol_version": r"3\.0",
    "max_protocol_version": r"3\.\d|latest",
    "ssl_min_protocol_version": r"TLSv1\.[23]",
    "ssl_max_protocol_version": r"TLSv1\.[23]",
    "target_session_attrs": ".+",
}
#: Options that have a value in every libpq whose rules are known here.
_EXPECTED = ("sslmode", "sslcertmode", "channel_binding", "ssl_min_protocol_version")
#: What a server reports that says whether `target_session_attrs` holds.
_ATTRIBUTES = ("in_hot_standby", "default_transaction_read_only")


@frozen
class Parameters:
    """Where to connect, as whom, and how. `options` are libpq's by name, those that are set."""

    host: str
    address: str
    port: int
    startup: Mapping[str, bytes] = field(repr=False)
    password: Secret
    options: Mapping[str, str] = field(repr=False)
    #: What the server has to report to be as good as the one that libpq chose; None where anything serves.
    reports: Mapping[str, str] | None = None

    @classmethod
    def of(cls, connection: Connection, *, replication: bool) -> Parameters:
        """Return those of an open connection. Raises Unsupported."""
        pg = connection.pgconn
        found = {option.keyword.decode(): option.val for option in pg.info}
        options = _spoken(found)
        host, address, port = (_text(value) for value in (pg.host, pg.hostaddr, pg.port))
        if not host.isascii() or not address or not port.isdigit():
            raise Unsupported("the address of the server")
        return cls(
            host=host,
            address=address,
            port=int(port),
            startup=_startup(pg, found, replication=replication),
            password=Secret(pg.password.decode(errors="surrogateescape")),
            options=options,
            reports=_reports(pg, options),
        )

    @property
    def timeout(self) -> float | None:
        """Seconds for a connection to be ready; None to wait for ever."""
        seconds = int(self.options.get("connect_timeout", "0"))
        return float(seconds) if seconds > 0 else None

    @property
    def secret(self) -> bytes:
        """The password as libpq would send it; empty when there is none."""
        return self.password.reveal().encode(errors="surrogateescape")


def _spoken(found: Mapping[str, bytes | None]) -> dict[str, str]:
    """Return the options that count here. Raises Unsupported for those that are not known."""
    if not all(found.get(name) for name in _EXPECTED):
        raise Unsupported("this version of libpq")
    options = {name: _text(value) for name, value in found.items() if value}
    for name, value in options.items():
        if name not in _ELSEWHERE and not re.fullmatch(_WORDS.get(name, "(?!)"), value):
            raise Unsupported(name)
    return {name: value for name, value in options.items() if name in _WORDS}


def _startup(pg: Any, found: Mapping[str, bytes | None], *, replication: bool) -> dict[str, bytes]:
    """Return what the first message says. The encoding is the one that answers are read in."""
    name = found.get("application_name") or found.get("fallback_application_name")
    said = {
        "user": pg.user,
        "database": pg.db,
        "replication": b"database" if replication else b"",
        "options": pg.options,
        "application_name": name,
        "client_encoding": b"UTF8",
    }
    return {key: value for key, value in said.items() if value}


def _reports(pg: Any, options: Mapping[str, str]) -> dict[str, str] | None:
    """Another server may answer at the same address: it has to be of the kind that libpq was to choose."""
    if options.get("target_session_attrs", "any") == "any":
        return None
    found = {name: pg.parameter_status(name.encode()) for name in _ATTRIBUTES}
    if None in found.values():
        raise Unsupported("target_session_attrs with a server that does not report them")
    return {name: _text(value) for name, value in found.items()}


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")
