"""The clauses of every kind, each broken by a connector made for that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.planted.ground import HeavySettings, Leaves
from support.planted.ground_settings import Mute, Settings

from etl_core.errors import EtlError
from etl_core.hookspecs import Registration
from etl_core.testing import common, leftovers
from etl_core.testing.clauses import FIRST, run
from etl_core.testing.common import CommonClauses, loaded_by
from etl_core.testing.verdicts import Verdict

HERE = "support.planted.ground"
NAMES = {
    "words": "it_is_registered_with_words",
    "light": "looking_at_it_is_light",
    "unknown": "an_unknown_setting_is_refused",
    "secrets": "secrets_stay_secret",
    "left": "nothing_is_left_behind",
}


class Kit(CommonClauses):
    registration = Registration("toy", Settings, f"{HERE}:Right", "A toy.")
    section = "extract"
    grace = 0.3
    secret = "postgresql://me:open sesame%21@host/db"

    def config(self) -> Mapping[str, Any]:
        return {"password": self.secret, "inner": {"token": "open sesame too"}}

    def exercise(self) -> None:
        made = self.make()
        try:
            made.use()
        finally:
            made.close()


def verdicts(kit: type[CommonClauses], *only: str) -> dict[str, tuple[Verdict, str]]:
    return {each.clause.name: (each.verdict, each.reason) for each in run(kit, only=only)}


def reason(kit: type[CommonClauses], clause: str) -> str:
    verdict, text = verdicts(kit, NAMES[clause])[NAMES[clause]]
    assert verdict is Verdict.FAIL
    return text


def registered(config: Any = Settings, factory: Any = f"{HERE}:Right", **facts: Any) -> type[Kit]:
    registration = Registration("toy", config, factory, **{"summary": "A toy.", **facts})
    return type("Changed", (Kit,), {"registration": registration})


def faulty(fault: str) -> type[Kit]:
    return registered(factory=f"{HERE}:{fault}")


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    yield
    Leaves.let_go()


def test_the_right_one_passes_every_clause() -> None:
    assert verdicts(Kit) == dict.fromkeys([FIRST, *NAMES.values()], (Verdict.PASS, ""))


def test_what_has_no_settings_is_not_asked_about_them() -> None:
    class Bare(Kit):
        registration = Registration("toy", None, "builtins:list", "A toy.")

        def exercise(self) -> None:
            pass

    found = verdicts(Bare)
    assert {name for name, (verdict, _) in found.items() if verdict is Verdict.SKIP} == {
        NAMES["light"],
        NAMES["unknown"],
        NAMES["secrets"],
    }


@pytest.mark.parametrize(
    ("kit", "text"),
    [
        (registered(api=99), "another version of the contract (api=99)"),
        (registered(summary=" "), "no summary"),
        (registered(summary="one\ntwo"), "more than one line"),
        (registered(Mute), "settings without a sentence that says what they are for (settings=rows)"),
    ],
)
def test_a_registration_without_words_is_caught(kit: type[Kit], text: str) -> None:
    assert text in reason(kit, "words")


@pytest.mark.parametrize(
    ("kit", "text"),
    [
        (registered(factory=list), "the factory is imported with the plugin"),
        (registered(HeavySettings), "looking at it imports pyarrow (module=support.planted.ground)"),
        (
            registered(factory="support.planted.ground_settings:Mute"),
            "looking at it imports its factory (module=support.planted.ground_settings)",
        ),
        (
            registered(type("Gone", (), {"__module__": "no.such.module"})),
            "the module of the settings cannot be imported by itself (module=no.such.module)",
        ),
    ],
)
def test_what_is_heavy_to_look_at_is_caught(kit: type[Kit], text: str) -> None:
    assert text in reason(kit, "light")


def test_what_a_module_prints_when_it_is_imported_is_not_taken_for_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "muttering.py").write_text("import os\nos.write(1, b'caf\\xe9\\n')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "muttering" in loaded_by("muttering")


def test_a_module_whose_import_does_not_end_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lasting.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(common, "_IMPORTED", 0.5)
    with pytest.raises(EtlError, match="does not end"):
        loaded_by("lasting")


def test_settings_that_take_everything_are_caught() -> None:
    class Lenient(Kit):
        def make(self, **changed: Any) -> Any:
            return super().make()

    assert reason(Lenient, "unknown") == "a setting that does not exist was accepted"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("InRepr", "a secret can be read (setting=password, where=repr of InRepr)"),
        ("InLog", "a secret that is wrong is shown (setting=password, where=log)"),
        ("InOldLog", "a secret that is wrong is shown (setting=password, where=log)"),
        ("InPrint", "a secret that is wrong is shown (setting=password, where=output)"),
        ("InError", "a secret that is wrong is shown (setting=password, where=error AuthError)"),
        ("InCause", "a secret that is wrong is shown (setting=password, where=error ConnectionError)"),
    ],
)
def test_a_secret_that_can_be_read_is_caught(fault: str, text: str) -> None:
    told = reason(faulty(fault), "secrets")
    assert told == text
    assert "sesame" not in told


def test_a_secret_that_is_only_shown_when_it_is_right_is_caught() -> None:
    class Proud(Kit):
        def exercise(self) -> None:
            super().exercise()
            self.logs.append("it was open sesame too")

    assert reason(Proud, "secrets") == "a secret can be read (setting=inner.token, where=log)"


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("LeavesThread", "thread forgotten"),
        ("LeavesFile", "open /"),
        ("LeavesSocket", "open socket"),
        ("LeavesProcess", "process python"),
        ("LeavesPipe", "open pipe:"),
        ("LeavesPoll", "open anon_inode:[eventpoll]"),
        ("LeavesTemporaryFile", "open /"),
        ("LeavesTemporaryFile", "temporary file forgotten"),
        ("LeavesOrphan", "process sleep"),
        ("LeavesThreadAfterFailure", "thread forgotten"),
    ],
)
def test_what_is_left_behind_is_caught(fault: str, text: str) -> None:
    told = reason(faulty(fault), "left")
    assert told.startswith("something was left behind (left=")
    assert text in told


def test_what_a_library_takes_once_and_keeps_is_not_left_behind() -> None:
    assert verdicts(faulty("KeepsOnePipe"), NAMES["left"]) == {NAMES["left"]: (Verdict.PASS, "")}


def test_where_nothing_can_be_looked_at_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(leftovers, "_PROCESSES", tmp_path)
    monkeypatch.setattr(leftovers, "_FDS", tmp_path / "none")
    verdict, text = verdicts(Kit, NAMES["left"])[NAMES["left"]]
    assert (verdict, "no /proc" in text) == (Verdict.NOT_REACHED, True)
