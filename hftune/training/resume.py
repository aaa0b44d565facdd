"""Taking a run up again: from its newest whole checkpoint, in an environment that gives the same bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from hftune.errors import RunError
from hftune.runs import layout
from hftune.runs.reader import lasting_name
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


@dataclass(frozen=True)
class Start:
    """Where an attempt begins: at a checkpoint, or (None) at the first step; and which were set aside as broken."""

    checkpoint: Path | None
    quarantined: tuple[str, ...] = ()


def find_start(run: RunWriter, accelerator: Accelerator) -> Start:
    """Return the newest whole checkpoint of a run. Broken ones are renamed and said aloud."""
    start: Start = from_first_rank(accelerator, _find(run) if _is_first(accelerator) else None)
    return start


def compare_environment(
    run: RunWriter, start: Start, environment: Mapping[str, Any], accelerator: Accelerator, allow_inexact: bool
) -> list[str]:
    """Return what differs from the environment that the checkpoint was made in, and write environment.json.

    Raises RunError when something does, unless `allow_inexact`. Without a checkpoint there is nothing to differ from.
    It is the checkpoint that is asked, not environment.json: an attempt that died before its first checkpoint has
    left the latter and no bits.
    """
    found = _differences(run.path, start.checkpoint, environment) if _is_first(accelerator) else None
    differences = from_first_rank(accelerator, found)
    if differences and not allow_inexact:
        listed = "".join(f"\n    {line}" for line in differences)
        raise RunError(
            f"this run cannot go on exactly as it would have, because something changed:{listed}",
            hint=f"Change it back, or accept other bits: `hftune resume {lasting_name(run.path)} --allow-inexact`.",
        )
    run.write_json(layout.ENVIRONMENT, {**environment, "inexact": differences})
    return list(differences)


def take_up(setup: Setup, learner: Learner, start: Start, inexact: list[str]) -> Progress:
    """Put the checkpoint into the learner, and return how far it is; nothing is done when the run begins."""
    run, path = setup.run, start.checkpoint
    if path is None:
        progress = Progress(per_device_batch_size=setup.recipe.training.per_device_train_batch_size)
    else:
        progress = _restore(setup, learner, open_checkpoint(path))
    if path is not None or start.quarantined or run.attempt > 1:
        source = str(path.relative_to(run.path)) if path is not None else None
        quarantined = list(start.quarantined)
        run.emit("resume", **{"step": progress.step, "from": source, "quarantined": quarantined, "inexact": inexact})
    if progress.best_step is not None:
        # What is shown may be the best of steps that a kill has undone.
        run.emit("best", step=progress.best_step, metric=setup.plan.metric, value=progress.best_value)
    return progress


def _find(run: RunWriter) -> Start:
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
    return Start(checkpoint.path if checkpoint else None, tuple(quarantined))


def _restore(setup: Setup, learner: Learner, checkpoint: Checkpoint) -> Progress:
    setup.method.load_state(learner.model, dict(checkpoint.tensors(WEIGHTS)))
    load_optimizer_tensors(learner.optimizer, learner.model, checkpoint.tensors(OPTIMIZER))
    if learner.scaler is not None and checkpoint.state.get("scaler"):
        learner.scaler.load_state_dict(checkpoint.state["scaler"])
    progress = Progress.from_json(checkpoint.state)
    progress.follow(setup.plan, setup.recipe.training)
    return progress


def _differences(run: Path, checkpoint: Path | None, environment: Mapping[str, Any]) -> list[str]:
    if checkpoint is None:
        return []
    before = open_checkpoint(checkpoint).environment or _environment_file(run)
    if before is None:
        return [f"{layout.ENVIRONMENT} is missing or cannot be read"]
    # Both through JSON, so that a tuple equals a list.
    return find_differences(before, json.loads(json.dumps(environment)))


def _environment_file(run: Path) -> dict[str, Any] | None:
    """Return environment.json, which speaks for checkpoints of versions that did not write it into them."""
    try:
        found: dict[str, Any] = json.loads((run / layout.ENVIRONMENT).read_bytes())
    except (OSError, ValueError):
        return None
    return found


def _is_first(accelerator: Accelerator) -> bool:
    return bool(accelerator.is_main_process)
