"""Runs that kill themselves at a chosen call, for the tests of resuming.

Processes are forked from a server that has imported everything and trained nothing: a run takes a second, not ten.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

HEAVY = ["hftune.pipeline", "hftune.tasks.text_classification", "evaluate", "peft", "transformers", "sklearn.metrics"]

# What a run can be killed in, by the name under which its calls are counted.
POINTS = ("forward", "fsync", "rename", "emit")


def forked(target: Callable[..., None], *arguments: Any) -> int:
    """Run `target` in a fresh process; return its exit code, negative for a signal."""
    context = multiprocessing.get_context("forkserver")
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # how the new process finds this file
    context.set_forkserver_preload([*HEAVY, "dying"])
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode or 0


def train(path: str, kill_at: tuple[str, int] | None = None, count_into: str | None = None) -> None:
    """Carry out the run at `path`, or die with SIGKILL at the n-th call of a point (before it does anything).

    With `count_into` the calls of each point are written there as JSON at the end.
    """
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for the process's whole life
    from hftune.pipeline import train as pipeline_train
    from hftune.recipe.load import load_recipe
    from hftune.runs.writer import RunWriter

    counts = dict.fromkeys(POINTS, 0)

    def dying(point: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counted(*arguments: Any, **options: Any) -> Any:
            counts[point] += 1
            if kill_at == (point, counts[point]):
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return counted

    with RunWriter.open(Path(path)) as run:
        recipe = load_recipe(Path(path) / "recipe.yaml")
        _hook(dying, Path(path))
        pipeline_train(recipe, run)
    if count_into:
        Path(count_into).write_text(json.dumps(counts))


def _hook(dying: Callable[[str, Callable[..., Any]], Callable[..., Any]], path: Path) -> None:
    from hftune.runs import writer
    from hftune.training import evaluation, step

    counted = dying("forward", evaluation.forward)
    evaluation.forward = counted
    step.forward = counted
    fetch = evaluation.fetch

    def recording(prepared: Any, split: str, indices: Any, epoch: int) -> Any:
        """Write down which examples are trained on, beside the run."""
        with path.with_suffix(".samples").open("a") as file:
            file.write(json.dumps([os.getpid(), split, indices.tolist()]) + "\n")
        return fetch(prepared, split, indices, epoch)

    step.fetch = recording
    os.fsync = dying("fsync", os.fsync)
    os.rename = dying("rename", os.rename)
    writer.RunWriter.emit = dying("emit", writer.RunWriter.emit)  # type: ignore[method-assign]


def make_run(folder: Path, recipe: Mapping[str, Any]) -> Path:
    """Return a fresh run directory for a recipe; the process that opens it makes its first attempt."""
    from hftune.recipe.load import dump_recipe, parse_recipe
    from hftune.runs.writer import RunWriter

    run = RunWriter.create(folder, "tiny", dump_recipe(parse_recipe(recipe)))
    run.hand_over()
    return run.path


def outcome(path: Path) -> dict[str, Any]:
    """Return all of a run that must not depend on whether it was killed: weights, figures, curves."""
    from hftune.runs.events import rows
    from hftune.runs.reader import read_events

    model = {file.name: file.read_bytes() for file in sorted((path / "model").iterdir())}
    return {
        "model": model,
        "metrics": (path / "metrics.json").read_bytes(),
        "rows": rows(read_events(path)),
    }
