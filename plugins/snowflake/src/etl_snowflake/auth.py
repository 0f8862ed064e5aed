"""The key pair: read, decrypted, and made into what each client wants."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from functools import lru_cache

from attrs import field, frozen
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from etl_core import ConfigError
from etl_snowflake.config import SnowflakeConfig

__all__ = ["Key", "load_key"]

#: Snowflake takes a token for an hour at most.
_LIFETIME = 3000
_SMALLEST = 2048


@frozen
class Key:
    """A private key. It prints as nothing."""

    _key: rsa.RSAPrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        """PKCS8, as the driver takes it."""
        return self._written(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        """PKCS8, as the streaming client takes it."""
        return self._written(serialization.Encoding.PEM).decode()

    def _written(self, encoding: serialization.Encoding) -> bytes:
        return self._key.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the digest of the public key, as DESCRIBE USER shows it under RSA_PUBLIC_KEY_FP."""
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()

    def token(self, account: str, user: str, role: str | None = None) -> str:
        """Sign a login's JSON Web Token, as the SQL API documents it; the role as its clients ask for it."""
        name = f"{account.partition('.')[0].upper()}.{user.upper()}"
        now = int(time.time())
        claims = {"iss": f"{name}.{self.fingerprint}", "sub": name, "iat": now, "exp": now + _LIFETIME}
        scope = {"scp": f"session:role:{role}"} if role else {}
        parts = ({"alg": "RS256", "typ": "JWT"}, claims | scope)
        text = ".".join(_part(json.dumps(each).encode()) for each in parts)
        return f"{text}.{_part(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def load_key(config: SnowflakeConfig) -> Key:
    """Read the key that the settings name, as it is now. Raises ConfigError, naming the setting."""
    setting, data = _material(config)
    secret = config.private_key_passphrase.reveal().encode() if config.private_key_passphrase else None
    try:
        key = _parsed(data, secret)
    except TypeError:
        raise _passphrase_error(secret) from None
    except ValueError:
        raise _unreadable(setting, secret) from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < _SMALLEST:
        raise ConfigError("Snowflake takes RSA keys of 2048 bits or more", setting=setting)
    return Key(key)


@lru_cache(maxsize=8)
def _parsed(data: bytes, secret: bytes | None) -> PrivateKeyTypes:
    """Read a key once: to test that it is one takes longer than the rest of a login."""
    return serialization.load_pem_private_key(data, secret)


def _material(config: SnowflakeConfig) -> tuple[str, bytes]:
    if (config.private_key is None) == (config.private_key_path is None):
        raise ConfigError("name one private key", "give private_key_path, or private_key, not both")
    if config.private_key is not None:
        return "private_key", config.private_key.reveal().replace("\\n", "\n").strip().encode()
    assert config.private_key_path is not None
    try:
        return "private_key_path", config.private_key_path.read_bytes()
    except OSError as error:
        raise ConfigError(
            "the private key cannot be read", setting="private_key_path", reason=error.strerror
        ) from None


def _passphrase_error(secret: bytes | None) -> ConfigError:
    if secret is None:
        return ConfigError("the private key is encrypted", "set private_key_passphrase")
    return ConfigError("the private key is not encrypted", "remove private_key_passphrase")


def _unreadable(setting: str, secret: bytes | None) -> ConfigError:
    if secret is not None:
        hint = "check private_key_passphrase; the key starts with -----BEGIN ENCRYPTED PRIVATE KEY-----"
    else:
        hint = "write PKCS8 PEM, which starts with -----BEGIN PRIVATE KEY-----, with its line breaks"
    return ConfigError("the private key cannot be understood", hint, setting=setting)
