"""The last words about a run: figures by split, where it is, and what to do next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hftune.figures import duration, figure
from hftune.output import Output
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.compression import read_comparison
from hftune.runs.consumption import read_consumed
from hftune.runs.reader import short_name
from hftune.sanitize import sanitize

Metrics = Mapping[str, Mapping[str, Any]]


def read_metrics(run: Path) -> Metrics:
    """Return the figures in metrics.json, empty when there is none."""
    return {split: values for split, values in _metrics_file(run).items() if isinstance(values, dict)}


def say_done(run: Path, metrics: Metrics, output: Output, seconds: float | None = None) -> None:
    """Print figures by split, what makes them doubtful, the run directory and the next commands."""
    output.say("done" + (f" in {duration(seconds)}" if seconds is not None else ""))
    for line in table(metrics):
        output.say(line)
    warnings = _metrics_file(run).get("warnings")
    for warning in warnings if isinstance(warnings, list) else ():
        output.say(f"  ! {sanitize(warning)}")
    if (found := read_comparison(run)) is not None:
        for line in found.lines():
            output.say(f"  {sanitize(line)}")
    if (used := read_consumed(run)) is not None:
        output.say(f"  energy  {used.tell()}")
    output.say(f"  run   {sanitize(run)}")
    say_next(run, output)


def say_next(run: Path, output: Output) -> None:
    """Print the commands that a finished run is good for, one a line."""
    for index, line in enumerate(next_commands(run)):
        output.say(f"  {'next' if index == 0 else '    '}  {line}")


def table(metrics: Metrics) -> list[str]:
    """Return one line a metric and one column a split, which fits in 80 columns whatever the metrics are called."""
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    if not names:
        return []
    width = max(map(len, names))
    rows = [" " * width + "".join(f"  {sanitize(split):>12}" for split in metrics)]
    for name in names:
        cells = [figure(values[name]) if name in values else "" for values in metrics.values()]
        rows.append(f"{sanitize(name):<{width}}" + "".join(f"  {cell:>12}" for cell in cells))
    return [f"  {row}".rstrip() for row in rows]


def next_commands(run: Path) -> list[str]:
    """Return what one can do with a finished run, in the words of a shell."""
    name = short_name(run)
    try:
        task = load_recipe(run / layout.RECIPE).task.name
    except Exception:  # the figures are there; a hint about them must not fail
        task = ""
    ask = {
        "text-generation": f'hftune generate {name} "…"',
        "fill-mask": f'hftune predict {name} "… [MASK] …"',
    }.get(task, f'hftune predict {name} "…"')
    # An adapter is nothing to begin with.
    goes_on = task == "fill-mask" and (run / layout.MODEL / "model.safetensors").is_file()
    then = [f"hftune run RECIPE -s model={shlex.quote(sanitize(run / layout.MODEL))}"] if goes_on else []
    return [ask, f"hftune chat {name}", f"hftune evaluate {name}", *then]


def _metrics_file(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / layout.METRICS).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
