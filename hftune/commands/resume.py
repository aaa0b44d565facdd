"""`hftune resume RUN`: go on where a run was left."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from hftune.commands.job import carry_out
from hftune.commands.run import in_background
from hftune.commands.summary import read_metrics, say_next
from hftune.errors import EXIT_DONE, RunError, UsageError
from hftune.output import Output
from hftune.recipe.load import dump_recipe, load_recipe
from hftune.runs import layout
from hftune.runs.files import write_atomic
from hftune.runs.launch import read_launch, write_launch
from hftune.runs.lock import run_lock
from hftune.runs.reader import find_run, load_state, read_state


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Resume a run; a finished one is left alone, one in use raises RunLockedError (exit 73).

    What changed since (recipe, data, model, threads, versions) is compared when training begins.
    """
    if arguments.set and not arguments.allow_inexact:
        raise UsageError("-s changes the recipe of a run", hint="Give --allow-inexact as well, or start a new run.")
    if arguments.processes is not None and arguments.processes < 1:
        raise UsageError("--processes must be at least 1")
    run = find_run(arguments.run, arguments.runs_dir)
    with run_lock(run, "resuming"):
        if _status(run) == "done" and not arguments.set:
            return _done(run, output)
        launch = read_launch(run)
        processes = arguments.processes or launch.processes
        if processes != launch.processes and layout.checkpoints(run) and not arguments.allow_inexact:
            # Training would refuse as well, but later: after this number was written down for all later attempts.
            raise UsageError(
                f"{run.name} was trained with --processes {launch.processes} so far",
                hint="Another number gives other bits: give --allow-inexact as well, or leave --processes out.",
            )
        if arguments.set:
            _change_recipe(run, arguments.set)
        write_launch(run, replace(launch, processes=processes))
    if arguments.detach:
        return in_background(run, output, processes, arguments.allow_inexact)
    return carry_out(run, output, processes=processes, allow_inexact=arguments.allow_inexact, debug=arguments.debug)


def _status(run: Path) -> str:
    try:
        return read_state(run).status
    except RunError:
        return "unknown"  # a broken state.json does not keep a run from going on: checkpoints say how far it came


def _done(run: Path, output: Output) -> int:
    output.emit({"run": str(run), "status": "done", "metrics": read_metrics(run)})
    output.say(f"{run.name} is done: there is nothing to resume")
    say_next(run, output)
    return EXIT_DONE


def _change_recipe(run: Path, overrides: list[str]) -> None:
    """Rewrite recipe.yaml, keeping the old one as recipe.attempt-N.yaml, N the last attempt that used it."""
    path = run / layout.RECIPE
    changed = dump_recipe(load_recipe(path, overrides))
    try:
        attempt = load_state(run).attempt
    except RunError:
        attempt = 0
    write_atomic(run / f"recipe.attempt-{attempt}.yaml", path.read_bytes())
    write_atomic(path, changed)
