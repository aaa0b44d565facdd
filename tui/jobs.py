"""Jobs: start one from a recipe, ask one to stop or pause, go on with one. Each is a process of its own.

Nothing here waits for a job: what becomes of it is read from its run directory. Everything may take a moment (a recipe
is read, a directory is made), so the app calls it in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hftune.errors import RunError, UsageError
from hftune.recipe.load import load_recipe
from hftune.recipe.prepare import prepare, prepare_again
from hftune.recipe.schema import Recipe
from hftune.runs import layout, process
from hftune.runs.launch import Launch, start_job
from hftune.runs.lock import run_lock
from hftune.runs.reader import read_state
from hftune.runs.requests import request
from hftune.runs.state import ACTIVE, RESUMABLE, SCHEMA, RunState
from hftune.runs.writer import RunWriter

from .recipe_text import resolved

Action = Literal["stop", "pause", "resume", "chat"]
DOING = {"stop": "stopped", "pause": "paused", "resume": "resumed", "chat": "asked"}
# What a run is that does not work, and how it goes on.
ENDED = {
    "done": "it is done",
    "paused": "it is paused: r resumes it",
    "stopped": "it has stopped: r resumes it",
    "failed": "it failed: r tries again from its last checkpoint",
    "lost": "its process is gone: r goes on from its last checkpoint",
}


def start(recipe: str, runs_dir: Path, overrides: Sequence[str] = (), processes: int = 1) -> Path:
    """Start training a recipe (a file, or a shipped one's name) in the background; return the new run directory.

    The run is `queued` until its process takes it up, and as long as another run has its device. Raises RecipeError
    with all problems, and then nothing is made; RunError when the directory or the process cannot be.
    """
    if processes < 1:
        raise UsageError("a run needs at least 1 process")
    return _begin(load_recipe(recipe, overrides), runs_dir, Launch(processes))


def start_text(text: str, file: Path, runs_dir: Path) -> Path:
    """Start training what an unsaved recipe says; paths in it start where those of `file` do. Else as `start`."""
    return _begin(resolved(text, file), runs_dir, Launch())


def resume(run: Path, overrides: Sequence[str] = ()) -> None:
    """Go on with a run from its last checkpoint in the background; `overrides` change its recipe.

    It is `queued` at once. Raises RunLockedError when a process has the run, RunError when it is done, and RecipeError
    for overrides that make no recipe.
    """
    with run_lock(run, "resuming"):
        launch = prepare_again(run, overrides, allow_inexact=bool(overrides))
        if launch is None:
            raise RunError(f"{run.name} is done: there is nothing to resume")
        again = RunWriter.open(run)
        again.set_state(status="queued", reason="")
        again.hand_over()
    start_job(run, processes=launch.processes, allow_inexact=bool(overrides))


def stop(run: Path) -> None:
    """Ask a run to save its state and end; raises RunError when it does not work."""
    _ask(run, "stop")


def pause(run: Path) -> None:
    """Ask a run to save its state and let its process go; raises RunError when it does not work."""
    _ask(run, "pause")


def why_not(action: Action, state: RunState | None, run: Path | None = None) -> str:
    """Return why an action cannot be done with a run in that state, in words for people; empty when it can.

    With `run` its files are looked at too: whether there is a model to ask, whether it has been asked to end already.
    """
    if state is None:
        return "its state cannot be read"
    if action == "chat":
        return _no_model(state, run)
    if action == "resume":
        return _not_resumable(state)
    if state.status not in ACTIVE:
        return ENDED.get(state.status, f"it is {state.status}")
    if run is not None and (run / layout.CONTROL / action).exists():
        return f"it has been asked to {action} already: it saves its state first"
    return ""


def _begin(recipe: Recipe, runs_dir: Path, launch: Launch) -> Path:
    run = prepare(recipe, runs_dir, launch)
    start_job(run, processes=launch.processes)
    return run


def _ask(run: Path, action: Literal["stop", "pause"]) -> None:
    why = why_not(action, read_state(run))
    if why:
        raise RunError(f"{run.name} cannot be {DOING[action]}: {why}")
    request(run, action)


def _not_resumable(state: RunState) -> str:
    if state.schema > SCHEMA:
        return "a newer version of hftune wrote it"
    if state.status in RESUMABLE:
        return ""
    if state.status in ACTIVE and state.host != process.host():
        return f"another machine ({state.host or 'unknown'}) runs it"
    doing = {"done": "it is done: there is nothing to resume", "queued": "it waits in the queue already"}
    return doing.get(state.status, f"it is {state.status} already")


def _no_model(state: RunState, run: Path | None) -> str:
    if run is None or (run / layout.MODEL).is_dir() or layout.checkpoints(run):
        return ""
    if state.status in ACTIVE:
        return "it has saved no checkpoint yet"
    return "it has no model and no checkpoint to ask"
