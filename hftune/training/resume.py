"""Taking a run up again: from its newest whole checkpoint, in an environment that gives the same bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from hftune.errors import RunError
from hftune.runs import layout
from hftune.runs.writer import RunWriter
from hftune.training.checkpoint import (
    OPTIMIZER,
    WEIGHTS,
    Checkpoint,
    clear_unfinished,
    newest_checkpoint,
    open_checkpoint,
)
from hftune.training.collective import from_first_rank
from hftune.training.environment import find_differences
from hftune.training.optimizer import load_optimizer_tensors
from hftune.training.progress import Progress
from hftune.training.step import Learner, Setup


def compare_environment(
    run: RunWriter, environment: Mapping[str, Any], accelerator: Accelerator, allow_inexact: bool
) -> list[str]:
    """Return what differs from the attempt before, and write environment.json.

    Raises RunError when something does, unless `allow_inexact`. A run without a checkpoint starts anew, so there is
    nothing to differ from.
    """
    differences = from_first_rank(accelerator, _differences(run.path, environment) if _is_first(accelerator) else None)
    if differences and not allow_inexact:
        listed = "".join(f"\n    {line}" for line in differences)
        raise RunError(
            f"this run cannot go on exactly as it would have, because something changed:{listed}",
            hint="Change it back, or accept other bits: `hftune resume --allow-inexact`.",
        )
    run.write_json(layout.ENVIRONMENT, {**environment, "inexact": differences})
    return list(differences)


def take_up(setup: Setup, learner: Learner, inexact: list[str]) -> Progress:
    """Put the newest whole checkpoint into the learner, and return how far it is; from the start when there is none.

    Broken checkpoints are renamed and said aloud.
    """
    run, accelerator = setup.run, setup.accelerator
    found: tuple[Path | None, list[str]] = (None, [])
    if _is_first(accelerator):
        found = _find(run)
    path, quarantined = from_first_rank(accelerator, found)
    if path is None:
        progress = Progress(per_device_batch_size=setup.recipe.training.per_device_train_batch_size)
    else:
        progress = _restore(setup, learner, open_checkpoint(path))
    if path is not None or quarantined or run.attempt > 1:
        source = str(path.relative_to(run.path)) if path is not None else None
        run.emit("resume", **{"step": progress.step, "from": source, "quarantined": quarantined, "inexact": inexact})
    return progress


def _find(run: RunWriter) -> tuple[Path | None, list[str]]:
    quarantined: list[str] = []

    def on_broken(path: Path, problem: str) -> None:
        quarantined.append(str(path.relative_to(run.path)))
        run.alert(
            "warning",
            "checkpoint-quarantined",
            f"a checkpoint is broken and was renamed {path.name}: {problem}",
            hint="The run goes on from the one before. Look at the disk when this happens again.",
        )

    clear_unfinished(run.path)
    checkpoint = newest_checkpoint(run.path, on_broken)
    return (checkpoint.path if checkpoint else None), quarantined


def _restore(setup: Setup, learner: Learner, checkpoint: Checkpoint) -> Progress:
    setup.method.load_state(learner.model, dict(checkpoint.tensors(WEIGHTS)))
    load_optimizer_tensors(learner.optimizer, learner.model, checkpoint.tensors(OPTIMIZER))
    if learner.scaler is not None and checkpoint.state.get("scaler"):
        learner.scaler.load_state_dict(checkpoint.state["scaler"])
    progress = Progress.from_json(checkpoint.state)
    if progress.finished == "steps" and progress.step < setup.plan.total_steps:
        progress.finished = ""  # the recipe was changed to go further
    return progress


def _differences(run: Path, environment: Mapping[str, Any]) -> list[str]:
    if not layout.checkpoints(run):
        return []
    try:
        before = json.loads((run / layout.ENVIRONMENT).read_bytes())
    except (OSError, ValueError):
        return [f"{layout.ENVIRONMENT} is missing or cannot be read"]
    # Both through JSON, so that a tuple equals a list.
    return find_differences(before, json.loads(json.dumps(environment)))


def _is_first(accelerator: Accelerator) -> bool:
    return bool(accelerator.is_main_process)
