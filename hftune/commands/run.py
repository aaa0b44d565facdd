"""`hftune run RECIPE`: make a run directory and train in it."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from hftune.commands.job import carry_out, check_and_train
from hftune.errors import EXIT_DONE, RunError, UsageError
from hftune.output import Output
from hftune.recipe.load import find_recipe, load_recipe, naming_lines, shipped_note
from hftune.recipe.prepare import prepare
from hftune.runs import layout, process
from hftune.runs.launch import Launch, start_job
from hftune.runs.reader import default_runs_dir, lasting_name, load_state

TAKE_UP_SECONDS = 60.0
POLL_SECONDS = 0.05


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Train a recipe; nothing is created when it has problems (RecipeError, exit 2)."""
    if arguments.processes < 1:
        raise UsageError("--processes must be at least 1")
    path, shipped = find_recipe(arguments.recipe)
    if shipped:
        output.note(f"hftune: {shipped_note(arguments.recipe, path)}")
    overrides = [*arguments.set, *([f"name={json.dumps(arguments.name)}"] if arguments.name else [])]
    recipe = load_recipe(path, overrides)
    launch = Launch(arguments.processes, check=not arguments.skip_check)
    run = prepare(recipe, Path(arguments.runs_dir) if arguments.runs_dir else default_runs_dir(), launch)
    if arguments.detach:
        return in_background(run, output, arguments.processes)
    return carry_out(
        run,
        output,
        processes=arguments.processes,
        debug=arguments.debug,
        train=naming_lines(path, overrides)(check_and_train),
    )


def in_background(run: Path, output: Output, processes: int, allow_inexact: bool = False) -> int:
    """Start a job for `run` and return once it has taken the run up; raises RunError when it ends before."""
    pid = start_job(run, processes=processes, allow_inexact=allow_inexact)
    begun = process.started(pid)
    limit = time.monotonic() + TAKE_UP_SECONDS
    while load_state(run).pid != pid and time.monotonic() < limit:
        if begun is None or not process.alive(pid, begun):
            if load_state(run).pid == pid:
                break
            raise RunError(f"the job of {run.name} ended at once", hint=f"{run / layout.LOG} says why.")
        time.sleep(POLL_SECONDS)
    state = load_state(run)
    output.emit({"run": str(run), "status": state.status, "pid": pid})
    output.say(f"training in the background (process {pid})")
    name = lasting_name(run)
    output.say(f"  run   {run}")
    output.say(f"  next  hftune watch {name}")
    output.say(f"        hftune stop {name}")
    return EXIT_DONE
