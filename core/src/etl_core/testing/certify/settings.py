"""The settings of `certify --config`: a file of settings alone, or a pipeline document that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import field, frozen

from etl_core.config import ENGINE_KEYS
from etl_core.document import Section, Written, expanded, read
from etl_core.document.model import SHAPES
from etl_core.document.problems import Found
from etl_core.document.scalars import describe
from etl_core.errors import ConfigError
from etl_core.resolve import configured
from etl_core.testing.certify.targets import Target, registration_for
from etl_core.testing.secrets import secrets_of

__all__ = ["Given", "given_to"]


@frozen
class Given:
    """Settings from a file, where their relative paths start, and the texts that are not to be shown."""

    settings: Mapping[str, Any] = field(repr=False)
    base: Path
    secrets: tuple[str, ...] = field(repr=False)


def given_to(targets: Sequence[Target], file: Path) -> dict[Target, Given]:
    """Return the settings that a file gives to each target it speaks of; to one of them at least.

    Raises ConfigError with every problem of the file, each with its line.
    """
    written = expanded(file)
    written.problems.raise_if_any()
    if not isinstance(written.value, Mapping):
        written.problems.add(Found((), f"expected a mapping of settings, found {describe(written.value)}"))
        written.problems.raise_if_any()
    if _is_document(written.value):
        return _from_document(targets, file)
    if len(targets) > 1:
        raise ConfigError(
            "a file of settings alone is for one connector, and the name means several",
            "give a pipeline document, in which each section says which connector it is for",
            file=str(file),
            connectors=", ".join(f"{target.section} {target.name}" for target in targets),
        )
    return {targets[0]: _alone(targets[0], written)}


def _is_document(value: Mapping[str, Any]) -> bool:
    """Tell whether any section in it names a connector."""
    found = [value[name] for name in SHAPES if name in value]
    sections = [one for each in found for one in (each if isinstance(each, list) else [each])]
    return any(isinstance(section, Mapping) and "use" in section for section in sections)


def _from_document(targets: Sequence[Target], file: Path) -> dict[Target, Given]:
    draft = read(file)
    draft.problems.raise_if_any()
    given: dict[Target, Given] = {}
    for target in targets:
        meant = [one for one in draft.sections if (one.section, one.use) == (target.section, target.name)]
        if len(meant) > 1:
            raise ConfigError(
                "the document uses the connector more than once, each time with its own settings",
                "give a file with the settings of one alone",
                document=str(file),
                connector=target.name,
            )
        if meant:
            given[target] = _given(target, meant[0], Written(file, draft.base, None, None, draft.problems))
    if not given:
        raise ConfigError(
            "no section of the document uses the connector",
            "write `use:` and the connector's name in its section, or give a file of its settings alone",
            document=str(file),
            connectors=", ".join(f"{target.section} {target.name}" for target in targets),
        )
    return given


def _alone(target: Target, written: Written) -> Given:
    use = written.value.get("use", target.name)
    if use != target.name:
        written.problems.add(Found(("use",), f"these settings are for another connector than {target.name}"))
    own = {key: value for key, value in written.value.items() if key not in ENGINE_KEYS[target.section]}
    return _given(target, Section(target.section, (), target.name, own), written)


def _given(target: Target, section: Section, written: Written) -> Given:
    """Check the settings as a run does."""
    config = configured(registration_for(target), section, written.base, written.problems)
    secrets = {} if config is None else secrets_of(config)
    return Given(section.settings, written.base, tuple(text for texts in secrets.values() for text in texts))
