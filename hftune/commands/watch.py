"""`hftune watch RUN`: the app's screen of one run; without a terminal, or with --plain, lines until the run ends."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from hftune.commands import summary
from hftune.commands.display import Display
from hftune.commands.job import as_record
from hftune.commands.tui import at_terminal, open_app
from hftune.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, RunError
from hftune.output import Output
from hftune.runs.reader import EventTail, find_run, read_state, short_name
from hftune.runs.state import ACTIVE, RunState
from hftune.sanitize import sanitize

POLL_SECONDS = 0.1
# Reading the state costs more than a poll and changes less; it is where a dead process shows.
STATE_SECONDS = 0.5


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """Follow RUN; 0 when it is done, paused or stopped, 1 when it failed or is lost, 130 after Ctrl-C."""
    run = find_run(arguments.run, arguments.runs_dir)
    if not (arguments.plain or output.json) and at_terminal():
        code = open_app(run.parent, output, watch=run, debug=arguments.debug)
        state = read_state(run)
        return code or (EXIT_DONE if state.status in ACTIVE else _conclude(run, state, output))
    stream = output.stderr if output.json else output.stdout
    try:
        with Display(stream, run.name, live=False) as display:
            state = follow(run, display, output)
    except KeyboardInterrupt:
        if read_state(run).status in ACTIVE:
            output.note(f"hftune: no longer watching; {run.name} goes on")
        return EXIT_INTERRUPTED
    return _conclude(run, state, output)


def follow(run: Path, display: Display, output: Output) -> RunState:
    """Feed the events of a run to a display until the run is no longer active; return its state."""
    tail = EventTail(run)
    while True:
        state = read_state(run)  # before the events: what it wrote last is then among them
        again = time.monotonic() + STATE_SECONDS
        while True:
            for event in tail.poll():
                output.emit(as_record(event))
                display.feed(event)
            if state.status not in ACTIVE:
                return state
            if time.monotonic() >= again:
                break
            time.sleep(POLL_SECONDS)


def _conclude(run: Path, state: RunState, output: Output) -> int:
    metrics = summary.read_metrics(run)
    output.emit({"run": str(run), "status": state.status, "metrics": metrics, "reason": state.reason})
    if state.status == "done":
        summary.say_done(run, metrics, output)
        return EXIT_DONE
    next_step = f"`hftune resume {short_name(run)}` goes on from the last checkpoint."
    if state.status == "lost":
        error = RunError(f"{run.name} is lost: its process ({state.pid} on {state.host}) is gone", hint=next_step)
    elif state.status == "failed":
        error = RunError(f"{run.name} failed: {state.reason}", hint=next_step)
    else:
        output.say(sanitize(f"{run.name} is {state.status}: {state.reason}"))
        output.say(f"  next  hftune resume {short_name(run)}")
        return EXIT_DONE
    Output(stdout=output.stdout, stderr=output.stderr).report(error)
    return EXIT_FAILED
