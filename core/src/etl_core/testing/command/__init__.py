"""The kit of commands: what `etl-core NAME` is held to."""

from __future__ import annotations

import json
from typing import ClassVar, NoReturn

from etl_core.testing.child import Child
from etl_core.testing.children import spec_of
from etl_core.testing.command.calls import ended_late, play
from etl_core.testing.command.help import HelpClauses
from etl_core.testing.verdicts import expect, not_reached, skip

__all__ = ["CommandConformance"]

_CANCELLED = 130


class CommandConformance(HelpClauses):
    """What every command promises. Give `registration`, and calls of it where there are any.

    Calls are made in processes of their own, in the clause's directory.
    """

    section: ClassVar[str] = "commands"

    def test_json_is_all_that_is_printed(self) -> None:
        """With `--json` stdout is one JSON document and nothing else.

        Print everything meant for people, and the log, to stderr.
        """
        arguments = self.listing()
        if arguments is None:
            takes = any("--json" in each.opts for _, one in self.commands() for each in one.params)
            if takes:
                not_reached("give `listing()`: a call that takes --json")
            skip("no call of it takes --json")
        done = self.called(*arguments, "--json")
        expect(done.exit_code == 0, "a call with --json did not succeed", exit_code=done.exit_code)
        try:
            json.loads(done.out)
        except ValueError:
            said = len(done.out.splitlines())
            expect(False, "what is printed with --json is not one JSON document", lines=said)

    def test_a_call_succeeds(self) -> None:
        """The call that is given as an example ends with 0 and without a traceback.

        End with 0 exactly when what was asked for is done.
        """
        arguments = self.arguments()
        if arguments is None:
            self._left_out("arguments", "succeeds", "a call that succeeds")
        done = self.called(*arguments)
        expect(done.exit_code == 0, "the call did not succeed", exit_code=done.exit_code)
        expect(not done.failed_unhandled, "the call shows a traceback")

    def test_a_failure_has_its_exit_code(self) -> None:
        """A call that fails ends with the code of its error and says why on stderr, without a traceback.

        Raise errors of `etl_core.errors` and let them pass: the command line shows them and knows the code.
        """
        calls = self.failing()
        if not calls:
            self._left_out("failing", "fails", "calls that fail")
        for place, (arguments, code) in enumerate(calls.items()):
            done = self.called(*arguments)
            facts = {"call": place, "exit_code": done.exit_code}
            expect(done.exit_code == code, "a failure has another exit code", expected=code, **facts)
            expect(done.err.strip(), "a failure is not explained on stderr", **facts)
            expect(not done.failed_unhandled, "a failure shows a traceback", **facts)
            expect(not done.left, "a failure leaves something behind", left=", ".join(done.left), **facts)

    def test_ctrl_c_ends_it(self) -> None:
        """Interrupted, it ends with 130 within the grace period, without a traceback.

        Let KeyboardInterrupt pass, after cleaning up; or end a run that you asked to stop with Cancelled.
        """
        arguments = self.lasting()
        if arguments is None:
            self._left_out("lasting", "goes on for a while", "a call that goes on for a second at least")
        spec = spec_of(self) | {"arguments": list(arguments), "interrupt_after": self.interrupt_after}
        with Child(play, spec) as child:
            child.next()
            child.interrupt()
            code = child.ended(self.grace)
        left = ended_late(child.pid)
        expect(code is not None, "it goes on after an interrupt", seconds=self.grace)
        expect(code == _CANCELLED, "interrupted, it does not end with 130", exit_code=code)
        expect(not left, "interrupted, it left something behind", left=", ".join(left))

    def test_nothing_is_left_behind(self) -> None:
        """After a call no process of it goes on, and no temporary file is left.

        Wait for the processes you start, and remove temporary files, also after a failure.
        """
        calls = [each for each in (self.arguments(), *self.failing()) if each is not None]
        if not calls:
            self._left_out("arguments", "succeeds", "a call that succeeds")
        left = self.called(*calls[0]).left
        expect(not left, "something was left behind", left=", ".join(left))

    def _left_out(self, name: str, does: str, what: str) -> NoReturn:
        """Leave out a clause whose call the author says there is none of; else ask for it."""
        if self.gives(name):
            skip(f"its kit says that no call {does}")
        not_reached(f"give `{name}()`: {what}")
