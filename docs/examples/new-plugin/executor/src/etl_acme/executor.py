"""Runs each pipeline in a process of its own, which ends when the one that started it does."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import IO, Any

from etl_core import Cancel, Event, Executor, FatalError, PipelineResult, run_document

from etl_acme.config import AcmeConfig

LOOK_EVERY = 0.1
CHILD = [sys.executable, "-c", f"from {__name__} import main; main()"]


class AcmeExecutor(Executor):
    """The document goes to the child as JSON on stdin; events and the outcome come back as pickles.

    The child is asked to stop by the end of its stdin: so it also stops when its parent was killed.
    """

    def __init__(self, config: AcmeConfig) -> None:
        pass

    def run(
        self, document: Mapping[str, Any], cancel: Cancel, events: Callable[[Event], None]
    ) -> PipelineResult:
        with subprocess.Popen(CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            ended = threading.Event()
            watching = threading.Thread(target=_stop_on_cancel, args=(child.stdin, cancel, ended))
            with suppress(BrokenPipeError):  # of a child that could not begin: it tells no outcome
                child.stdin.write(json.dumps(document).encode() + b"\n")
                child.stdin.flush()
            watching.start()
            try:
                return _outcome(_told(child.stdout), events)
            finally:
                ended.set()
                watching.join()


def _stop_on_cancel(stdin: IO[bytes], cancel: Cancel, ended: threading.Event) -> None:
    while not ended.wait(LOOK_EVERY):
        if cancel.is_set():
            break
    with suppress(BrokenPipeError):
        stdin.close()


def _told(stdout: IO[bytes]) -> Iterator[object]:
    """Yield what the child tells, to its end."""
    while True:
        try:
            yield pickle.load(stdout)
        except EOFError:
            return


def _outcome(told: Iterator[object], events: Callable[[Event], None]) -> PipelineResult:
    """Hand events on; return the result, or raise what the pipeline raised."""
    for each in told:
        if isinstance(each, Event):
            events(each)
        elif isinstance(each, BaseException):
            raise each
        elif isinstance(each, PipelineResult):
            return each
    raise FatalError("the process of a pipeline ended before the pipeline did", "see what it printed")


def main() -> None:
    """Be the child: run the document on stdin, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both: the parent decides
    cancel = threading.Event()
    with os.fdopen(os.dup(1), "wb") as pipe:
        os.dup2(2, 1)  # what anybody prints must not come between the pickles

        def tell(each: object) -> None:
            pickle.dump(each, pipe)
            pipe.flush()

        document = json.loads(sys.stdin.buffer.readline())
        threading.Thread(target=_until_end_of_stdin, args=(cancel,), daemon=True).start()
        try:
            tell(run_document(document, cancel=cancel, events=tell))
        except BaseException as error:
            tell(_portable(error))


def _until_end_of_stdin(cancel: threading.Event) -> None:
    while os.read(0, 1024):
        pass
    cancel.set()


def _portable(error: BaseException) -> BaseException:
    """Return an error that can be sent; of another only what it is, as its text may hold values."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return FatalError("the pipeline failed", cause=type(error).__name__)
    return error
