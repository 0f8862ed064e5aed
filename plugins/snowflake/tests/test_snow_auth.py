from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etl_core import ConfigError, Secret
from etl_snowflake.auth import Key, load_key
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator.auth import Door, User, fingerprint

CONFIG = SnowflakeConfig(account="org-acct", user="etl", database="D", warehouse="W")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PHRASE = "open sesame"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY, phrase: str | None = None) -> str:
    how = serialization.BestAvailableEncryption(phrase.encode()) if phrase else serialization.NoEncryption()
    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
    return data.decode()


def loaded(text: str, phrase: str | None = None) -> Key:
    secret = Secret(phrase) if phrase else None
    return load_key(evolve(CONFIG, private_key=Secret(text), private_key_passphrase=secret))


@pytest.mark.parametrize("text", [pem(), pem().replace("\n", "\\n"), f"\n  {pem()}"])
def test_a_key_in_the_document(text: str) -> None:
    assert loaded(text).pem == pem()


def test_a_key_that_is_encrypted() -> None:
    assert loaded(pem(phrase=PHRASE), PHRASE).pem == pem()
    assert loaded(pem(phrase=PHRASE), PHRASE).der == loaded(pem()).der


def test_a_file_is_read_again_each_time(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(pem())
    config = evolve(CONFIG, private_key_path=path)
    before = load_key(config)
    path.write_text(pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    assert load_key(config).fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("text", "phrase", "says"),
    [
        ("garbage", None, "cannot be understood"),
        (pem(phrase=PHRASE), None, "is encrypted"),
        (pem(phrase=PHRASE), "wrong", "cannot be understood"),
        (pem(), PHRASE, "is not encrypted"),
        (pem(ec.generate_private_key(ec.SECP256R1())), None, "RSA keys of 2048 bits"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), None, "RSA keys of 2048 bits"),
    ],
)
def test_a_key_that_is_wrong_is_named_not_shown(text: str, phrase: str | None, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        loaded(text, phrase)
    told = f"{caught.value} {caught.value.hint} {caught.value.facts}"
    assert PHRASE not in told
    assert text[30:60] not in told or text == "garbage"
    assert caught.value.__cause__ is None


def test_a_key_has_to_be_named_once(tmp_path: Path) -> None:
    both = evolve(CONFIG, private_key=Secret(pem()), private_key_path=tmp_path / "key.pem")
    for config in (CONFIG, both):
        with pytest.raises(ConfigError, match="name one private key"):
            load_key(config)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_key(evolve(CONFIG, private_key_path=tmp_path / "none.pem"))
    assert caught.value.facts["reason"] == "No such file or directory"


def test_a_token_is_one_that_snowflake_takes() -> None:
    key = loaded(pem())
    door = Door("ORG-ACCT")
    door.users["ETL"] = User("ETL", ["LOADER"], [KEY.public_key(), None])
    token = key.token("org-acct.eu-west-1", "etl", "LOADER")
    assert door.verify(token).name == "ETL"
    assert door.role_of(token, door.users["ETL"]) == "LOADER"
    assert key.fingerprint == fingerprint(KEY.public_key())
    claims = json.loads(urlsafe_b64decode(key.token("a", "u").split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] < 3600
    assert "scp" not in claims


def test_a_key_prints_as_nothing() -> None:
    assert repr(loaded(pem())) == "Key()"


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": "https://org-acct.snowflakecomputing.com"},
        {"account": ""},
        {"database": ""},
        {"warehouse": "x" * 256},
        {"role": "a\0b"},
        {"port": 0},
        {"bulk_bytes": 0},
        {"merge_interval": 0},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        evolve(CONFIG, **wrong)


def test_the_host_is_the_accounts_own() -> None:
    assert CONFIG.address == "org-acct.snowflakecomputing.com"
    assert evolve(CONFIG, account="Org-My_Acct").address == "org-my-acct.snowflakecomputing.com"
    assert evolve(CONFIG, host="private.link").address == "private.link"


def test_secrets_do_not_print() -> None:
    config = evolve(CONFIG, private_key=Secret(pem()), private_key_passphrase=Secret(PHRASE))
    assert PHRASE not in repr(config)
    assert "PRIVATE KEY" not in repr(config)
