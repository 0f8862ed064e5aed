"""Wrong commands, each caught by the clause meant for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from support.planted import commands

from etl_core.hookspecs import Registration
from etl_core.testing.clauses import run
from etl_core.testing.command import CommandConformance
from etl_core.testing.verdicts import Verdict

HERE = "support.planted.commands"


class TestRight(CommandConformance):
    """The right twin passes everything, nothing is left out."""

    registration = Registration("right", None, f"{HERE}:right", "Works with numbers.")

    def arguments(self) -> Sequence[str]:
        return ["list"]

    def listing(self) -> Sequence[str]:
        return ["list"]

    def failing(self) -> Mapping[tuple[str, ...], int]:
        return {("list", "--fail", "config"): 2, ("list", "--fail", "auth"): 1, ("none",): 2}

    def lasting(self) -> Sequence[str]:
        return ["wait", "somebody"]


def kit_of(fault: str, name: str = "planted") -> type[CommandConformance]:
    class Kit(CommandConformance):
        registration = Registration(name, None, f"{HERE}:{fault}", "Planted.")
        grace = 2.0

        def arguments(self) -> Sequence[str] | None:
            return [] if fault == "leaves" else None

        def listing(self) -> Sequence[str]:
            return []

        def failing(self) -> Mapping[tuple[str, ...], int]:
            return {(): 1}

        def lasting(self) -> Sequence[str]:
            return []

    return Kit


@pytest.mark.parametrize(
    ("fault", "clause", "reason"),
    [
        ("without_help", "its_help_is_complete", "parameters=--mute"),
        ("without_argument", "its_help_is_complete", "parameters=name"),
        ("without_words", "its_help_is_complete", "does not say what it does (command=planted below)"),
        ("prints_beside", "json_is_all_that_is_printed", "not one JSON document (lines=2)"),
        ("swallows", "a_failure_has_its_exit_code", "expected=1, call=0, exit_code=0"),
        ("shouts", "a_failure_has_its_exit_code", "a failure shows a traceback"),
        ("goes_on", "ctrl_c_ends_it", "does not end with 130 (exit_code=0)"),
        ("leaves", "nothing_is_left_behind", "something was left behind (left=process python"),
        ("takes_anything", "an_unknown_option_is_refused", "does not end with 2 (exit_code=0)"),
        ("helpless", "help_is_shown", "does not end with 0 (exit_code=2)"),
        ("nothing", "it_can_be_used", "no Click command or group (kind=int)"),
    ],
)
def test_a_fault_is_caught(fault: str, clause: str, reason: str) -> None:
    kit = kit_of(fault)
    cheap = {"it_can_be_used", "its_help_is_complete", "it_hides_no_command_of_the_core"}
    outcomes = {each.clause.name: each for each in run(kit, only={*cheap, clause})}
    failed = {name for name, each in outcomes.items() if each.verdict is Verdict.FAIL}
    assert failed == {clause}
    assert reason in outcomes[clause].reason


def test_a_call_that_never_ends_is_caught() -> None:
    class Endless(CommandConformance):
        registration = Registration("planted", None, f"{HERE}:goes_on", "Planted.")
        patience = 1.0

        def arguments(self) -> Sequence[str]:
            return []

    (outcome,) = run(Endless, only=["a_call_succeeds"])
    assert outcome.reason == "the call did not end (seconds=1.0)"


def test_calls_that_are_not_given_are_asked_for() -> None:
    class Silent(CommandConformance):
        registration = Registration("right", None, f"{HERE}:right", "Works with numbers.")

    calls = [
        "json_is_all_that_is_printed",
        "a_call_succeeds",
        "a_failure_has_its_exit_code",
        "ctrl_c_ends_it",
    ]
    outcomes = list(run(Silent, only=["it_can_be_used", *calls, "nothing_is_left_behind"]))
    assert [each.verdict for each in outcomes] == [Verdict.PASS, *[Verdict.NOT_REACHED] * 5]
    reasons = {each.clause.name: each.reason for each in outcomes}
    assert reasons["json_is_all_that_is_printed"] == "give `listing()`: a call that takes --json"


def test_calls_that_there_are_none_of_are_left_out() -> None:
    class Small(CommandConformance):
        registration = Registration("goes-on", None, f"{HERE}:goes_on", "Waits.")

        def arguments(self) -> None:
            return None

        def failing(self) -> dict[tuple[str, ...], int]:
            return {}

        def lasting(self) -> None:
            return None

    outcomes = {each.clause.name: each for each in run(Small)}
    skipped = [
        "json_is_all_that_is_printed",
        "a_call_succeeds",
        "a_failure_has_its_exit_code",
        "ctrl_c_ends_it",
        "nothing_is_left_behind",
    ]
    assert {outcomes[name].verdict for name in skipped} == {Verdict.SKIP}
    assert outcomes["ctrl_c_ends_it"].reason == "its kit says that no call goes on for a while"


def test_a_command_that_hides_one_of_the_core_is_caught() -> None:
    (outcome,) = run(kit_of("right", "run"), only=["it_hides_no_command_of_the_core"])
    assert outcome.verdict is Verdict.FAIL


def test_a_command_that_is_loaded_with_its_plugin_is_caught(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Object(CommandConformance):
        registration = Registration("planted", None, commands.right, "Planted.")

    (outcome,) = run(Object, only=["looking_at_it_is_light"])
    assert outcome.reason == "the command is imported with the plugin"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "etl_heavy_commands.py").write_text("import click\nheavy = click.Command('heavy')\n")
    install(
        "etl-heavy",
        """
        import etl_heavy_commands
        from etl_core import Registration, hookimpl

        @hookimpl
        def etl_register_commands():
            return [Registration("heavy", None, "etl_heavy_commands:heavy", "Heavy.")]
        """,
    )

    class Heavy(CommandConformance):
        registration = Registration("heavy", None, "etl_heavy_commands:heavy", "Heavy.")

    (outcome,) = run(Heavy, only=["looking_at_it_is_light"])
    assert outcome.reason == "looking at it imports the command (module=etl_heavy_commands)"
