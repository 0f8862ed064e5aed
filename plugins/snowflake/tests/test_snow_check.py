"""`check` finds what is missing, says the GRANT that mends it, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from etl_core import AuthError, ConfigError, Secret
from etl_snowflake.checking import check
from etl_snowflake.config import SnowflakeConfig
from etl_snowflake.emulator import Emulator
from etl_snowflake.names import Names

Check = Callable[..., None]


@pytest.fixture
def checked(config: SnowflakeConfig, emulator: Emulator) -> Check:
    """Check with some settings changed."""

    def run(**changed: Any) -> None:
        settings = attrs.evolve(config, **changed)
        check(settings, Names(settings.database, settings.landing_schema))

    return run


def _revoke(emulator: Emulator, privilege: str, kind: str, name: str) -> None:
    hole = {"privilege": privilege, "kind": kind, "name": name, "role": emulator.role}
    emulator.control("grants", {"revoke": [hole]})


def _other_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def test_an_account_that_is_ready(checked: Check, emulator: Emulator) -> None:
    before = len(emulator.statements())
    checked()
    said = [each["text"].split()[0] for each in emulator.statements()[before:]]
    assert set(said) <= {"SELECT", "SHOW"}


@pytest.mark.parametrize(
    ("privilege", "kind", "name"),
    [
        ("USAGE", "WAREHOUSE", "{warehouse}"),
        ("USAGE", "DATABASE", "{database}"),
        ("CREATE TABLE", "SCHEMA", "{database}.{schema}"),
        ("CREATE STAGE", "SCHEMA", "{database}.{schema}"),
    ],
)
def test_a_privilege_that_is_missing_is_said_as_its_grant(
    checked: Check,
    config: SnowflakeConfig,
    emulator: Emulator,
    connect: Callable[..., Any],
    privilege: str,
    kind: str,
    name: str,
) -> None:
    dotted = name.format(warehouse=config.warehouse, database=config.database, schema=config.landing_schema)
    _revoke(emulator, privilege, kind, dotted)
    with pytest.raises(ConfigError) as caught:
        checked()
    (problem,) = caught.value.problems
    quoted = ".".join(f'"{part}"' for part in dotted.split("."))
    assert problem.hint == f'GRANT {privilege} ON {kind} {quoted} TO ROLE "{emulator.role}";'
    connect(role="ACCOUNTADMIN").cursor().execute(problem.hint)
    checked()


def test_a_schema_that_may_not_be_created(
    checked: Check, config: SnowflakeConfig, emulator: Emulator, connect: Callable[..., Any]
) -> None:
    checked(landing_schema="NOT_THERE")
    _revoke(emulator, "CREATE SCHEMA", "DATABASE", config.database)
    with pytest.raises(ConfigError) as caught:
        checked(landing_schema="NOT_THERE")
    (problem,) = caught.value.problems
    assert problem.path == "destination.landing_schema"
    assert problem.hint == f'GRANT CREATE SCHEMA ON DATABASE "{config.database}" TO ROLE "{emulator.role}";'


def test_everything_at_once(checked: Check, config: SnowflakeConfig, emulator: Emulator) -> None:
    for privilege in ("CREATE TABLE", "CREATE STAGE"):
        _revoke(emulator, privilege, "SCHEMA", f"{config.database}.{config.landing_schema}")
    _revoke(emulator, "USAGE", "WAREHOUSE", config.warehouse)
    with pytest.raises(ConfigError) as caught:
        checked()
    assert len(caught.value.problems) == 3


def test_what_is_not_there(checked: Check) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(warehouse="NONE", database="NOWHERE")
    assert [problem.path for problem in caught.value.problems] == [
        "destination.database",
        "destination.warehouse",
    ]


def test_a_role_of_others(checked: Check) -> None:
    with pytest.raises(AuthError) as caught:
        checked(role="SOMEBODY_ELSES")
    assert caught.value.hint == 'GRANT ROLE "SOMEBODY_ELSES" TO USER "ETL_USER";'


def test_a_key_that_the_user_does_not_have(checked: Check) -> None:
    with pytest.raises(AuthError) as caught:
        checked(private_key_path=None, private_key=Secret(_other_key()))
    assert "RSA_PUBLIC_KEY" in str(caught.value.hint)


def test_no_key_at_all(checked: Check) -> None:
    with pytest.raises(ConfigError, match="name one private key"):
        checked(private_key_path=None)


def test_what_tasks_need(
    checked: Check, config: SnowflakeConfig, emulator: Emulator, connect: Callable[..., Any]
) -> None:
    checked(task_schedule_minutes=5)
    _revoke(emulator, "EXECUTE TASK", "ACCOUNT", "")
    _revoke(emulator, "CREATE TASK", "SCHEMA", f"{config.database}.{config.landing_schema}")
    with pytest.raises(ConfigError) as caught:
        checked(task_schedule_minutes=5)
    schema = f'"{config.database}"."{config.landing_schema}"'
    assert [problem.hint for problem in caught.value.problems] == [
        f'GRANT EXECUTE TASK ON ACCOUNT TO ROLE "{emulator.role}";',
        f'GRANT CREATE TASK ON SCHEMA {schema} TO ROLE "{emulator.role}";',
    ]
    checked()
