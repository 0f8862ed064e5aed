"""Settings' types: sizes, durations, secrets, policies."""

from __future__ import annotations

import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_core.config import (
    ENGINE_KEYS,
    BatchPolicy,
    LoadSettings,
    RetryPolicy,
    SchemaPolicy,
    Secret,
    parse_duration,
    parse_size,
    setting,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (512, 512),
        ("512", 512),
        ("512b", 512),
        ("1k", 1024),
        ("64kb", 64 << 10),
        ("8MiB", 8 << 20),
        ("1.5 GiB", 3 << 29),
        ("2T", 2 << 40),
        (" 1KIB ", 1024),
    ],
)
def test_sizes(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-5", "5 parsecs", "1e3", True, 1.5, None])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(5, 5.0), (0.5, 0.5), ("100ms", 0.1), ("5s", 5.0), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0)],
)
def test_durations(text: float | str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 weeks", True, None])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)  # type: ignore[arg-type]


@given(st.integers(min_value=0, max_value=1 << 50))
def test_a_number_of_bytes_is_itself_as_text_too(number: int) -> None:
    assert parse_size(str(number)) == parse_size(f"{number}b") == parse_size(number) == number


def test_a_secret_prints_as_stars_everywhere() -> None:
    secret = Secret("hunter2")

    @attrs.frozen
    class Config:
        password: Secret

    for text in (
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>5}",
        repr(Config(secret)),
        str([secret]),
    ):
        assert "hunter2" not in text
        assert "***" in text
    assert secret.reveal() == "hunter2"


def test_secrets_compare_and_travel() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert pickle.loads(pickle.dumps(Secret("a"))).reveal() == "a"


def test_a_setting_carries_its_help_and_default() -> None:
    @attrs.frozen
    class Config:
        names: list[str] = setting(factory=list, help="Which.")
        size: int = setting(5, help="How much.", validator=attrs.validators.gt(0))

    fields = attrs.fields(Config)
    assert [field.metadata["help"] for field in fields] == ["Which.", "How much."]
    assert Config() == Config([], 5)
    with pytest.raises(ValueError, match="size"):
        Config(size=0)


def test_every_setting_of_the_engine_is_documented() -> None:
    for cls in (BatchPolicy, RetryPolicy, SchemaPolicy, LoadSettings):
        for field in attrs.fields(cls):
            assert field.metadata["help"].endswith("."), field.name


@pytest.mark.parametrize("values", [{"max_rows": 0}, {"max_bytes": -1}, {"max_wait": -1.0}])
def test_limits_have_a_sense(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        BatchPolicy(**values)  # type: ignore[arg-type]


def test_a_uniform_policy_has_one_answer_on_every_axis() -> None:
    assert set(attrs.asdict(SchemaPolicy.uniform("freeze")).values()) == {"freeze"}


def test_the_engines_keys_are_its_settings() -> None:
    assert {"use", "batch", "commit", "schema", "on_error"} <= ENGINE_KEYS["load"]
    assert ENGINE_KEYS["destination"] == {"use", "schema"}
