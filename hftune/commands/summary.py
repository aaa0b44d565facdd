"""The last words about a run: figures by split, where it is, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hftune.figures import duration, figure
from hftune.output import Output
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.reader import default_runs_dir, find_run
from hftune.sanitize import sanitize

Metrics = Mapping[str, Mapping[str, Any]]


def read_metrics(run: Path) -> Metrics:
    """Return metrics.json, empty when there is none."""
    try:
        found = json.loads((run / layout.METRICS).read_bytes())
    except (OSError, ValueError):
        return {}
    return {split: values for split, values in found.items() if isinstance(values, dict)}


def say_done(run: Path, metrics: Metrics, output: Output, seconds: float | None = None) -> None:
    """Print figures by split, the run directory and the next commands."""
    output.say("done" + (f" in {duration(seconds)}" if seconds is not None else ""))
    for line in table(metrics):
        output.say(line)
    output.say(f"  run   {sanitize(run)}")
    for index, line in enumerate(next_commands(run)):
        output.say(f"  {'next' if index == 0 else '    '}  {line}")


def table(metrics: Metrics) -> list[str]:
    """Return one line a split under a line of metric names."""
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    if not names:
        return []
    widths = [max(len(name), 8) for name in names]
    head = " " * 14 + "".join(f"  {sanitize(name):>{width}}" for name, width in zip(names, widths, strict=True))
    rows = [head]
    for split, values in metrics.items():
        cells = [figure(values[name]) if name in values else "" for name in names]
        shown = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        rows.append(f"  {sanitize(split):<12}{shown}")
    return [row.rstrip() for row in rows]


def next_commands(run: Path) -> list[str]:
    """Return what one can do with a finished run, in the words of a shell."""
    name = short_name(run)
    try:
        generates = load_recipe(run / layout.RECIPE).task.name == "text-generation"
    except Exception:  # the figures are there; a hint about them must not fail
        generates = False
    ask = f'hftune generate {name} "…"' if generates else f'hftune predict {name} "…"'
    return [ask, f"hftune chat {name}", f"hftune evaluate {name}"]


def short_name(run: Path) -> str:
    """Return what to type for a run: `latest` or its name where commands look by themselves, else its path."""
    folder = default_runs_dir()
    if run.resolve().parent != folder.resolve():
        return sanitize(run)
    return "latest" if find_run("latest", folder).name == run.name else sanitize(run.name)
