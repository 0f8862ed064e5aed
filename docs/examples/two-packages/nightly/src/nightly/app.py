"""A host: it embeds etl-core, knows no connector, and runs what its users wrote down."""

import sys
from pathlib import Path

from etl_core import PipelineManager, list_plugins, load_document, run_document
from etl_core.errors import EtlError, PipelineError


class Nightly:
    """One document as a manager runs it: anything with a name and `run` is a runner."""

    def __init__(self, path):
        self.document = load_document(path)
        self.name = self.document.pipeline

    def run(self, batch_policy=None, cancel=None):
        return run_document(self.document, once=True, cancel=cancel)


def plugins():
    """Print what is installed, and what is wrong with what cannot be used."""
    for plugin in list_plugins():
        names = ", ".join(each.registration.name for each in plugin.connectors)
        print(f"{plugin.distribution} {plugin.version} {plugin.status}: {plugin.error or names}")


def run(directory):
    """Run every document of a directory, two at a time; print how each ended."""
    manager = PipelineManager(workers=2)
    for path in sorted(Path(directory).glob("*.yaml")):
        manager.add_runner(Nightly(path))
    try:
        outcomes = manager.run_all()
    except PipelineError as failed:
        outcomes = failed.outcomes
    for name, outcome in sorted(outcomes.items()):
        print(name, outcome.result.counts.records_written if outcome.ok else outcome.error or "not run")
    return 0 if all(outcome.ok for outcome in outcomes.values()) else 1


def main():
    """Usage: nightly plugins | nightly run DIRECTORY."""
    try:
        sys.exit(plugins() if sys.argv[1:] == ["plugins"] else run(sys.argv[-1]))
    except EtlError as error:
        sys.exit(f"{error}\n{error.hint or ''}".strip())
