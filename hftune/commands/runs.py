"""`hftune runs`: the runs in a folder, newest first."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Any

from hftune.errors import EXIT_DONE
from hftune.figures import duration, figure
from hftune.output import Output
from hftune.runs.reader import RunSummary, default_runs_dir, list_runs
from hftune.sanitize import sanitize

NAME_WIDTH = 40  # at most: what follows then still fits in 80 columns for names of a usual length
METRIC_WIDTH = 18


def execute(arguments: argparse.Namespace, output: Output) -> int:
    """List the runs."""
    folder = arguments.runs_dir or default_runs_dir()
    runs = list_runs(folder)
    output.emit({"runs": [_record(run) for run in runs]})
    if output.json:
        return EXIT_DONE
    if not runs:
        output.say(f"no runs in {folder}; `hftune run RECIPE` makes one, `hftune recipes list` shows what ships")
        return EXIT_DONE
    now = time.time()
    width = min(NAME_WIDTH, max(len(sanitize(run.name)) for run in runs))
    output.say(_line(width, "RUN", "STATUS", "STEP", "METRIC", "AGE"))
    for run in runs:
        output.say(_row(width, run, now))
    return EXIT_DONE


def _row(width: int, run: RunSummary, now: float) -> str:
    state, name = run.state, sanitize(run.name)
    if state is None:
        return f"{name:<{width}} unreadable: {sanitize(run.problem)}"
    steps = f"{state.step}/{state.total_steps}" if state.total_steps else ""
    metric = _metric(sanitize(state.metric), figure(state.metric_value)) if state.metric else ""
    return _line(
        width, name, sanitize(state.status), steps, metric, duration(now - state.created) if state.created else ""
    )


def _metric(name: str, value: str) -> str:
    room = METRIC_WIDTH - 1 - len(value)
    return f"{name if len(name) <= room else f'{name[: room - 1]}…'} {value}"


def _line(width: int, name: str, status: str, steps: str, metric: str, age: str) -> str:
    return f"{name:<{width}} {status:<10} {steps:>9} {metric:<{METRIC_WIDTH}} {age}".rstrip()


def _record(run: RunSummary) -> dict[str, Any]:
    state = asdict(run.state) if run.state else {"status": "unreadable", "problem": run.problem}
    return {"run": str(run.path), "name": run.name, **state}
