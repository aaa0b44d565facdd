"""`hftune resume RUN`: go on where a run was left."""

from __future__ import annotations

import argparse
from pathlib import Path

from hftune.commands.job import carry_out
from hftune.commands.run import in_background
from hftune.commands.summary import read_metrics, say_next
from hftune.errors import EXIT_DONE
from hftune.output import Output
from hftune.recipe.prepare import prepare_again
from hftune.runs.lock import run_lock
from hftune.runs.reader import find_run


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Resume a run; a finished one is left alone, one in use raises RunLockedError (exit 73).

    What changed since (recipe, data, model, threads, versions) is compared when training begins.
    """
    run = find_run(arguments.run, arguments.runs_dir)
    with run_lock(run, "resuming"):
        launch = prepare_again(run, arguments.set, arguments.processes, arguments.allow_inexact)
    if launch is None:
        return _done(run, output)
    if arguments.detach:
        return in_background(run, output, launch.processes, arguments.allow_inexact)
    return carry_out(
        run, output, processes=launch.processes, allow_inexact=arguments.allow_inexact, debug=arguments.debug
    )


def _done(run: Path, output: Output) -> int:
    output.emit({"run": str(run), "status": "done", "metrics": read_metrics(run)})
    output.say(f"{run.name} is done: there is nothing to resume")
    say_next(run, output)
    return EXIT_DONE
