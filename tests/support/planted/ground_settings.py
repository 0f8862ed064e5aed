"""Settings of the connectors that try the ground of the kit; light to import."""

from __future__ import annotations

from attrs import frozen

from etl_core.config import Secret, setting


@frozen(kw_only=True)
class Inner:
    """A secret further in."""

    token: Secret | None = setting(None, help="Another secret.")


@frozen(kw_only=True)
class Settings:
    """A secret that opens something, and one further in."""

    password: Secret = setting(help="The secret.")
    inner: Inner = setting(factory=Inner, help="More.")
    opens: str = setting("open sesame", help="What the password is compared with.")


@frozen(kw_only=True)
class Mute:
    """A setting without words."""

    rows: int = 1
