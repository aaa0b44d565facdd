"""A run directory made ready for the process that will train in it: a new one of a recipe, or one to go on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hftune.errors import RunError, UsageError
from hftune.recipe.load import dump_recipe, load_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.files import write_atomic
from hftune.runs.launch import Launch, read_launch, write_launch
from hftune.runs.reader import load_state, read_state
from hftune.runs.writer import RunWriter

DEFAULT = Launch()


def prepare(recipe: Recipe, runs_dir: Path, launch: Launch = DEFAULT) -> Path:
    """Make the run directory of a recipe, queued for whichever process takes it up; return its path."""
    run = RunWriter.create(runs_dir, recipe.name, dump_recipe(recipe), status="queued")
    write_launch(run.path, launch)
    run.hand_over()
    return run.path


def prepare_again(
    run: Path, overrides: Sequence[str] = (), processes: int | None = None, allow_inexact: bool = False
) -> Launch | None:
    """Make a run ready for another attempt and return how to launch it; None when it is done and nothing changes.

    For whoever holds the run's lock. Raises UsageError for what would change the bits without `allow_inexact`.
    """
    if overrides and not allow_inexact:
        raise UsageError("-s changes the recipe of a run", hint="Give --allow-inexact as well, or start a new run.")
    if processes is not None and processes < 1:
        raise UsageError("--processes must be at least 1")
    if _status(run) == "done" and not overrides:
        return None
    before = read_launch(run)
    launch = replace(before, processes=processes or before.processes)
    if launch.processes != before.processes and layout.checkpoints(run) and not allow_inexact:
        # Training would refuse as well, but later: after this number was written down for all later attempts.
        raise UsageError(
            f"{run.name} was trained with --processes {before.processes} so far",
            hint="Another number gives other bits: give --allow-inexact as well, or leave --processes out.",
        )
    if overrides:
        _change_recipe(run, overrides)
    write_launch(run, launch)
    return launch


def _status(run: Path) -> str:
    try:
        return read_state(run).status
    except RunError:
        return "unknown"  # a broken state.json does not keep a run from going on: checkpoints say how far it came


def _change_recipe(run: Path, overrides: Sequence[str]) -> None:
    """Rewrite recipe.yaml, keeping the old one as recipe.attempt-N.yaml, N the last attempt that used it."""
    path = run / layout.RECIPE
    changed = dump_recipe(load_recipe(path, overrides))
    try:
        attempt = load_state(run).attempt
    except RunError:
        attempt = 0
    write_atomic(run / f"recipe.attempt-{attempt}.yaml", path.read_bytes())
    write_atomic(path, changed)
