"""`hftune pause RUN`: save a run's state and let its process go; `resume` goes on."""

from __future__ import annotations

import argparse

from hftune.commands.stop import ask
from hftune.output import Output
from hftune.runs.reader import find_run


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Pause RUN and wait until it has."""
    return ask(find_run(arguments.run, arguments.runs_dir), "pause", arguments.timeout, output)
