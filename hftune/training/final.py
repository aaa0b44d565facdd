"""After training: the best model into `model/`, its figures into metrics.json. Done again, it does the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hftune.runs import layout
from hftune.runs.files import fsync_file, fsync_folder
from hftune.training.checkpoint import WEIGHTS, find_damage, open_checkpoint
from hftune.training.evaluation import evaluate_split
from hftune.training.fit import EvaluationWatch
from hftune.training.progress import Progress
from hftune.training.step import Setup

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Figures = dict[str, dict[str, float | None]]

# Notices about data that make good figures mean little; metrics.json repeats them.
DOUBTS = frozenset({"one-class", "not-held-out"})


def take_best(setup: Setup, model: PreTrainedModel, progress: Progress) -> int:
    """Put the weights of the best evaluation into `model`; return the step they are of.

    When that checkpoint was damaged, the model stays as training left it and an alert says so.
    """
    best = progress.best_step
    if best is None or best == progress.step:
        return progress.step
    path = setup.run.path / layout.CHECKPOINTS / layout.checkpoint_name(best)
    if problem := find_damage(path):
        setup.run.alert(
            "error",
            "best-checkpoint-broken",
            f"the best checkpoint, of step {best}, is broken ({problem}): the model is that of step {progress.step}",
            step=progress.step,
        )
        return progress.step
    setup.method.load_state(model, dict(open_checkpoint(path).tensors(WEIGHTS)))
    return best


def save_model(setup: Setup, model: PreTrainedModel, save: Callable[[Path], None] | None = None) -> None:
    """Write `model/` as transformers or peft reads it, in one step: a reader finds the old one, none, or all of it.

    `save` writes another form of it than the method does.
    """

    def write(folder: Path) -> None:
        if save is not None:
            save(folder)
        else:
            setup.method.save(model, folder)
        setup.prepared.tokenizer.save_pretrained(folder)

    replace_folder(setup.run.path / layout.MODEL, write)


def save_model_init(setup: Setup, model: PreTrainedModel) -> None:
    """Write `model_init/`: config and tokenizer, from which a checkpoint is loaded while the run trains."""

    def write(folder: Path) -> None:
        model.config.save_pretrained(folder)
        setup.prepared.tokenizer.save_pretrained(folder)

    replace_folder(setup.run.path / layout.MODEL_INIT, write)


def final_figures(setup: Setup, model: PreTrainedModel, progress: Progress, step: int) -> Figures:
    """Return the figures of `model` by split: validation (known from training) and test (computed now)."""
    figures: Figures = {}
    if "validation" in setup.prepared.splits:
        known = step == progress.best_step
        figures["validation"] = progress.best_metrics if known else _evaluate(setup, model, "validation", step)
    if "test" in setup.prepared.splits:
        figures["test"] = _evaluate(setup, model, "test", step)
    return figures


def doubts(setup: Setup) -> list[str]:
    """Return what to know before believing the figures (one class only, validation not held out)."""
    return [notice.message for notice in setup.prepared.notices if notice.code in DOUBTS]


def replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Fill a folder beside `folder`, put it on disk, then give it the name."""
    new, old = folder.with_name(f".new-{folder.name}"), folder.with_name(f".old-{folder.name}")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(mode=0o700)
    write(new)
    for path in new.rglob("*"):
        fsync_folder(path) if path.is_dir() else fsync_file(path)
    fsync_folder(new)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    fsync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _evaluate(setup: Setup, model: PreTrainedModel, split: str, step: int) -> dict[str, float | None]:
    watch = EvaluationWatch(setup.run)
    metrics, examples = evaluate_split(model, setup.task, setup.recipe, setup.prepared, split, setup.accelerator, watch)
    epoch = setup.plan.epoch(step)
    timing = {"seconds": watch.seconds}
    setup.run.emit("eval", step=step, epoch=epoch, split=split, examples=examples, metrics=metrics, timing=timing)
    return dict(metrics)
