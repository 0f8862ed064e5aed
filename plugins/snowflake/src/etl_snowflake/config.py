"""The settings of the destination `snowflake`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import frozen, validators

from etl_core import Duration, Secret, Size, setting

__all__ = ["SnowflakeConfig"]

#: Snowflake keeps names of at most this many characters.
_NAME = 255
_ACCOUNT = re.compile(r"[A-Za-z0-9_]+([-.][A-Za-z0-9_]+)*\Z")


def _account(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not _ACCOUNT.match(value):
        raise ValueError("not an account: write organisation-account, as before .snowflakecomputing.com")


def _name(_: object, attribute: attrs.Attribute[Any], value: str | None) -> None:
    if value is not None and not (0 < len(value) <= _NAME and "\0" not in value):
        raise ValueError("not a name: 1 to 255 characters, none of them NUL")


@frozen
class SnowflakeConfig:
    """An account, a user with a key pair, where rows go, and how."""

    account: str = setting(
        help="The account: organisation-account, as in the host before .snowflakecomputing.com.",
        validator=_account,
    )
    user: str = setting(help="The user; its RSA_PUBLIC_KEY is the private key's other half.", validator=_name)
    database: str = setting(help="The database, as SHOW DATABASES writes it. It must exist.", validator=_name)
    warehouse: str = setting(help="The warehouse that runs COPY and MERGE.", validator=_name)
    role: str | None = setting(None, help="The role; default: the user's own.", validator=_name)
    private_key: Secret | None = setting(
        None, help="The private key: PEM (PKCS8), with \\n or line breaks. This or private_key_path."
    )
    private_key_path: Path | None = setting(
        None, help="A PEM file with the private key, read again at every login, so that it can be rotated."
    )
    private_key_passphrase: Secret | None = setting(None, help="What the private key is encrypted with.")
    landing_schema: str = setting(
        "ETL_LANDING", help="The schema of landing tables, control tables and the stage.", validator=_name
    )
    identifiers: Literal["upper", "exact"] = setting(
        "upper",
        help="upper: names of schemas, tables and columns become upper case; exact: they stay as they are, "
        "and need quotes in queries.",
    )
    streaming: Literal["sdk", "rest", "off"] = setting(
        "sdk",
        help="How changes go in: sdk: by the vendor's streaming client; rest: by its public REST protocol; "
        "off: all by COPY.",
    )
    bulk_bytes: Size = setting(
        Size(16 << 20),
        help="Writes of at least so many Arrow bytes go in by COPY.",
        validator=validators.gt(0),
    )
    merge_interval: Duration = setting(
        Duration(60.0),
        help="How often landed changes are merged into their tables.",
        validator=validators.gt(0),
    )
    task_schedule_minutes: int | None = setting(
        None,
        help="Let a task of Snowflake's merge, every so many minutes, also while no pipeline runs; the "
        "pipeline merges only rows that build on those in the table.",
        validator=validators.optional([validators.ge(1), validators.le(11520)]),
    )
    host: str | None = setting(
        None, help="Host of a private link; default: <account>.snowflakecomputing.com.", validator=_name
    )
    port: int = setting(443, help="Port of the host.", validator=[validators.ge(1), validators.le(65535)])
    authorities: Path | None = setting(
        None,
        help="A PEM file with the authorities to trust in place of the system's, as for a proxy; for the "
        "vendor's streaming client it also becomes SSL_CERT_FILE of the process.",
    )
    login_timeout: Duration = setting(
        Duration(60.0), help="How long a login is tried.", validator=validators.gt(0)
    )
    network_timeout: Duration = setting(
        Duration(300.0),
        help="How long one request is tried before the run goes back and retries.",
        validator=validators.gt(0),
    )
    commit_timeout: Duration = setting(
        Duration(300.0), help="How long streamed rows may take to be committed.", validator=validators.gt(0)
    )

    @property
    def address(self) -> str:
        """The host that answers."""
        return self.host or f"{self.account.lower().replace('_', '-')}.snowflakecomputing.com"
