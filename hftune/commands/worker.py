"""`hftune worker RUN[@step]`: answer JSON lines about a run. The protocol stands in hftune/inference/worker.py."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from hftune.errors import EXIT_DONE
from hftune.output import Output
from hftune.threads import wait_politely_when_busy


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Serve until stdin closes."""
    wait_politely_when_busy()
    from hftune.asking.protocol import Events
    from hftune.explainers._request import Explaining
    from hftune.inference.worker import Worker, take_over_stdout

    # Before anything else is imported: what a library prints must not get between the events.
    events = Events(take_over_stdout())
    from hftune.runs.reader import find_run, split_step

    def find(reference: str) -> tuple[Path, int | None]:
        name, step = split_step(reference)
        return find_run(name, arguments.runs_dir), step

    # A stream of our own: Python's stdin object must not be in a thread's hands when the interpreter ends.
    requests = os.fdopen(os.dup(0), "rb")
    Worker(requests, events, find, find(arguments.run), Explaining().answer).serve()
    return EXIT_DONE
