"""The clause of an executor about the secrets of documents."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from etl_core.testing.executor.base import ExecutorClauses
from etl_core.testing.leftovers import own_temporary
from etl_core.testing.verdicts import expect
from etl_core.testing.watch import Watch

__all__ = ["SecrecyClauses"]

_OTHERS = 0o077


class SecrecyClauses(ExecutorClauses):
    """A document holds secrets."""

    def test_secrets_of_a_document_stay_secret(self) -> None:
        """No secret of a document is printed, logged, told, on a command line or in a file of others.

        Hand the document over through a pipe or a file that only you can read, and remove that file.
        """
        secret = f"secret-{uuid.uuid4().hex}"
        endless = {"endless": True, "fail": ""}
        temporary = self.directory / "temporary"
        with own_temporary(temporary) as made, Watch(self.logs) as watch:
            for settings in (endless, {"fail": "fatal"}):
                with self.running(self.document(extract=settings, destination={"token": secret})) as run:
                    if settings is endless:
                        run.wait_for("committed", 1, self.patience)
                        seen = _for_others(secret, temporary)
                        expect(not seen, "a secret of the document is in a file that others can read")
                        run.cancel.set()
                    run.end(self.patience)
                for each in (*run.events, run.result):
                    watch.look(each)
                if run.error is not None:
                    watch.error(run.error)
            left = len(made())
        place = watch.place_of(secret)
        expect(place is None, "a secret of the document can be read", where=place)
        expect(not left, "a run leaves temporary files", files=left)


def _for_others(secret: str, directory: Path) -> bool:
    """Tell whether a file that others may open has the secret."""
    for file in directory.rglob("*"):
        with suppress(OSError):  # it was removed just now
            if file.is_file() and file.stat().st_mode & _OTHERS and secret.encode() in file.read_bytes():
                return True
    return False
