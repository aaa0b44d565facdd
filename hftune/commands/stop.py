"""`hftune stop RUN`: end a run after saving its state; `pause` does the same under another name."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from hftune.errors import EXIT_DONE, EXIT_INTERRUPTED, RunError
from hftune.output import Output
from hftune.runs.launch import read_launch
from hftune.runs.reader import find_run, read_state, short_name
from hftune.runs.requests import request, withdraw
from hftune.runs.state import ACTIVE, RunState

POLL_SECONDS = 0.1
SAY_SECONDS = 10.0


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Stop RUN and wait until it has."""
    return ask(find_run(arguments.run, arguments.runs_dir), "stop", arguments.timeout, output)


def ask(run: Path, name: Literal["stop", "pause"], timeout: float | None, output: Output) -> int:
    """Request `name`, wait until the run is no longer active, and say what became of it.

    0 when it has stopped (or had before), 130 when the wait was interrupted (the request stands). Raises RunError for
    a run whose process is gone, and after `timeout` seconds.
    """
    state = read_state(run)
    if state.status in ACTIVE:
        request(run, name)
        output.note(f"hftune: asked {run.name} to {name}; it saves its state first")
        try:
            state = _wait(run, timeout, output.note)
        except KeyboardInterrupt:
            output.note(f"hftune: no longer waiting; the request to {name} stands")
            return EXIT_INTERRUPTED
        if state.status in ACTIVE:
            alone = read_launch(run).processes == 1  # of several, the pid is that of one which cannot save for all
            other_way = f" `kill {state.pid}` on {state.host} asks in another way." if alone else ""
            raise RunError(
                f"{run.name} has not answered for {timeout:g} s ({_where(state)})",
                hint=f"The request stands.{other_way}",
            )
        withdraw(run, name)  # when the run ended before it read the request
        said = f"{run.name} is {state.status}" + (f" at step {state.step:,}" if state.step else "")
    else:
        said = f"{run.name} is not running: it is {state.status}"
    if state.status == "lost":
        raise RunError(
            f"{run.name} is lost: its process ({state.pid} on {state.host}) is gone",
            hint=f"`hftune resume {short_name(run)}` goes on from the last checkpoint.",
        )
    output.emit({"run": str(run), "status": state.status, "step": state.step})
    output.say(said)
    if state.status in ("stopped", "paused", "failed"):
        output.say(f"  next  hftune resume {short_name(run)}")
    return EXIT_DONE


def _wait(run: Path, timeout: float | None, note: Callable[[str], None]) -> RunState:
    """Return the state once it is final or `timeout` seconds are over, saying now and then that it still waits."""
    begun = said = time.monotonic()
    while True:
        state, now = read_state(run), time.monotonic()
        if state.status not in ACTIVE or (timeout is not None and now - begun >= timeout):
            return state
        if now - said >= SAY_SECONDS:
            said = now
            note(f"hftune: still waiting ({_where(state)})")
        time.sleep(POLL_SECONDS)


def _where(state: RunState) -> str:
    steps = f", step {state.step:,}/{state.total_steps:,}" if state.total_steps else ""
    return f"{state.phase or state.status}{steps}"
