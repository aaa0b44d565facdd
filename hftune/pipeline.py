"""The story: a recipe goes in, a run directory with a trained and evaluated model comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from hftune import compressors, methods, tasks
from hftune.compressors import Parent
from hftune.compressors._comparison import compare, require
from hftune.compressors._parent import load_parent, require_held_out, require_same_labels
from hftune.data.fingerprint import file_fingerprint
from hftune.data.load import load_splits
from hftune.data.texts import Texts
from hftune.energy.meter import Meter
from hftune.errors import ModelError, Problem, RecipeError, RunError
from hftune.inference.loading import parent_folder
from hftune.methods import Method
from hftune.modeling.loading import load_config
from hftune.modeling.resolve import ResolvedModel, resolve_model
from hftune.modeling.tokenizer import load_tokenizer
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.consumption import consumed
from hftune.runs.reader import lasting_name, read_events
from hftune.runs.writer import RunWriter
from hftune.tasks import Notice, Prepared, Task
from hftune.training.consumption import Consumption, open_meter
from hftune.training.device import is_out_of_memory, open_accelerator
from hftune.training.environment import describe_environment, describe_recipe
from hftune.training.final import Figures, doubts, final_figures, save_model, save_model_init, take_best
from hftune.training.fit import Asked, check_requests, fit, interrupted
from hftune.training.lr_auto import settle_learning_rate
from hftune.training.precision import Precision, choose_precision
from hftune.training.progress import Progress, make_plan
from hftune.training.randomness import seed_initial_weights, set_deterministic
from hftune.training.resume import compare_environment, find_start, take_up
from hftune.training.step import Setup, make_learner
from hftune.training.trackers import require_trackers

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


# Recipe, splits and prepared data to all that is worth saying of them, what `prepare` noticed among it.
Look = Callable[[Recipe, "Mapping[str, Dataset]", Prepared], Sequence[Notice]]


def train(recipe: Recipe, run: RunWriter, *, allow_inexact: bool = False, look: Look | None = None) -> Figures:
    """Carry out `recipe` in the run directory of `run`; return the figures by split.

    Goes on from the newest whole checkpoint when there is one. Raises HftuneError (its hint says what to do), among
    them InterruptedRun when the run was asked to stop or pause, and RunError when something that the bits depend on
    changed since the attempt before, unless `allow_inexact`. `look` says what is doubtful about the data.
    """
    with _clear_errors(run), ExitStack() as held:
        require_trackers(recipe.training)
        found = _find(recipe, run)
        meter = held.enter_context(open_meter(recipe, found.accelerator))
        environment = _environment(recipe, found)
        start = find_start(run, found.accelerator)
        inexact = compare_environment(run, start, environment, found.accelerator, allow_inexact)
        ready = _make_ready(recipe, run, found, look)
        setup, model = ready.setup, ready.model
        if not ready.learns:
            return _finish(ready, Progress(finished="nothing-to-learn"), None, meter)
        if recipe.training.learning_rate == "auto":
            setup = settle_learning_rate(setup, model, start)
            environment = {**environment, "recipe": describe_recipe(setup.recipe)}
            inexact = compare_environment(run, start, environment, found.accelerator, allow_inexact)  # writes it down
        learner = make_learner(setup, model)
        progress = take_up(setup, learner, start, inexact)
        _announce(setup, model, progress)
        identity = {"run": run.path.name, "data": environment["data"], "environment": environment}
        books = None if meter is None else Consumption(setup, learner, meter, consumed(read_events(run.path)))
        progress = fit(setup, learner, progress, identity, books)
        return _finish(replace(ready, setup=setup), progress, books)


def make_setup(recipe: Recipe, run: RunWriter) -> tuple[Setup, PreTrainedModel]:
    """Return all that training `recipe` would begin with: data made ready, plan, the model; trains nothing.

    Raises what `train` raises up to there.
    """
    with _clear_errors(run):
        ready = _make_ready(recipe, run, _find(recipe, run), None)
        return ready.setup, ready.model


@dataclass(frozen=True)
class _Found:
    """What a recipe names, found and read: plugins, device, weights (None: from scratch), data."""

    task: Task
    method: Method
    accelerator: Accelerator
    precision: Precision
    base: ResolvedModel | None
    splits: Mapping[str, Dataset]
    tokenizer: PreTrainedTokenizerBase
    parent: Parent | None  # of a run that compresses; `base` is then its model

    @property
    def folder(self) -> Path | None:
        return self.base.folder if self.base else None


def _find(recipe: Recipe, run: RunWriter) -> _Found:
    task, method = tasks.registry.load(recipe.task.name), methods.registry.load(recipe.method.name)
    accelerator = open_accelerator(recipe.training, run.path)
    precision = choose_precision(recipe.training.precision, accelerator.device)
    set_deterministic(recipe.training.deterministic)

    _now(run, "finding the model")
    parent = load_parent(recipe, accelerator.device, run.path) if recipe.compress is not None else None
    base = _resolve(recipe, parent, run)
    _now(run, "reading data")
    splits = load_splits(recipe.data, _noting(run))
    require_held_out(recipe, splits)
    texts = Texts(splits["train"], recipe.data)
    if parent is not None:
        tokenizer = parent.loaded.tokenizer
    else:
        tokenizer = load_tokenizer(recipe.model, base.folder if base else None, _noting(run), texts)
    return _Found(task, method, accelerator, precision, base, splits, tokenizer, parent)


def _resolve(recipe: Recipe, parent: Parent | None, run: RunWriter) -> ResolvedModel | None:
    """Return the weights that a run begins with; None for a model from scratch."""
    if parent is not None:
        path = parent.loaded.path
        return ResolvedModel(path / layout.MODEL, str(path), None, f"the run {path.name}")
    return resolve_model(recipe.model, _noting(run)) if recipe.model.id is not None else None


@dataclass(frozen=True)
class _Ready:
    """What training begins with. A compressed model may have nothing to learn, and be saved in a way of its own."""

    setup: Setup
    model: PreTrainedModel
    learns: bool = True
    save: Callable[[Path], None] | None = None


def _make_ready(recipe: Recipe, run: RunWriter, found: _Found, look: Look | None) -> _Ready:
    task, method, base = found.task, found.method, found.base
    _now(run, "tokenizing")
    if found.parent is not None:
        base_config = found.parent.model.config
    else:
        base_config = load_config(recipe.model, found.folder, found.tokenizer)
    method.check(recipe.method.settings(method.Config), recipe.model, base_config, recipe.task.name)
    prepared = task.prepare(recipe, found.splits, found.tokenizer, base_config)
    if look is not None:
        _now(run, "looking at the data")
        prepared = replace(prepared, notices=tuple(look(recipe, found.splits, prepared)))
    _now(run, "loading the model")
    seed_initial_weights(recipe.training.seed)
    if found.parent is not None:
        return _compressed(recipe, run, found, found.parent, prepared)
    model = task.load_model(recipe, found.folder, prepared)
    section = recipe.model.model_copy(update={"revision": base.revision}) if base else recipe.model
    model = method.adapt(model, recipe.method.settings(method.Config), section, recipe.task.name)
    _require_checkpointing(model, recipe)
    model.to(found.accelerator.device)
    plan = make_plan(recipe, task, len(prepared.splits["train"]), found.accelerator.num_processes)
    return _Ready(Setup(recipe, task, method, prepared, plan, found.precision, found.accelerator, run), model)


def _compressed(recipe: Recipe, run: RunWriter, found: _Found, parent: Parent, prepared: Prepared) -> _Ready:
    """Make the small model of a run that compresses, and what it learns."""
    assert recipe.compress is not None
    require_same_labels(parent, prepared)
    compressor = compressors.registry.load(recipe.compress.name)
    small = compressor.make(recipe, parent, found.task, prepared, lambda text: _now(run, text))
    if small.learns:
        _require_checkpointing(small.model, recipe)
        small.model.requires_grad_(True)
        small.model.to(found.accelerator.device)
    plan = make_plan(recipe, small.task, len(small.prepared.splits["train"]), found.accelerator.num_processes)
    setup = Setup(recipe, small.task, found.method, small.prepared, plan, found.precision, found.accelerator, run)
    return _Ready(setup, small.model, small.learns, small.save)


def _environment(recipe: Recipe, found: _Found) -> dict[str, Any]:
    described = describe_environment(
        recipe, found.splits, found.base, found.tokenizer, found.accelerator, found.precision
    )
    more = recipe.compress.options.get("unlabelled") if recipe.compress is not None else None
    return {**described, "unlabelled": file_fingerprint(Path(more))} if more else described


def _finish(ready: _Ready, progress: Progress, books: Consumption | None, meter: Meter | None = None) -> Figures:
    """Keep the best model, score it, and write the result; rank 0 alone. `meter`: of what learned nothing.

    Raises RunError for a compressed model that is too much worse than its parent; it is there all the same.
    """
    setup, model = ready.setup, ready.model
    if not setup.accelerator.is_main_process:
        return {}
    run = setup.run
    run.set_state(status="training", phase="saving")
    step = take_best(setup, model, progress)
    save_model(setup, model, ready.save)
    run.set_state(status="evaluating", phase="evaluating")
    figures = final_figures(setup, model, progress, step)
    if books is not None:
        books.finish(progress.step, tested="test" in figures)
    elif meter is not None and (used := meter.read()) is not None:
        run.emit("energy", step=progress.step, usage=used.to_dict(), estimate=None)
    if (spent := consumed(read_events(run.path))) is not None:
        run.write_json(layout.ENERGY, spent.to_dict())
    warnings = doubts(setup)
    run.write_json(layout.METRICS, {**figures, "warnings": warnings} if warnings else figures)
    run.emit("result", metrics=figures, best_step=step, global_step=progress.step)
    if setup.recipe.compress is not None:
        _compare(setup, run)
    return figures


def _compare(setup: Setup, run: RunWriter) -> None:
    """Ask the compressed model and its parent the same held-out rows; raises RunError when too much was lost."""
    recipe, device = setup.recipe, setup.accelerator.device.type

    def note(text: str) -> None:
        run.emit("phase", phase="evaluating", detail=text)

    assert recipe.compress is not None
    found = compare(run.path, parent_folder(recipe, run.path), note, device=device)
    run.write_json(layout.COMPRESSION, found.to_dict())
    run.emit("compared", **found.to_dict())
    require(found, float(recipe.compress.options["max_loss"]), run.path)


def _require_checkpointing(model: PreTrainedModel, recipe: Recipe) -> None:
    """Raise RecipeError where gradient checkpointing is asked of a model that has none."""
    if recipe.training.gradient_checkpointing and not model.supports_gradient_checkpointing:
        message = f"models of the kind {model.config.model_type} have none"
        raise RecipeError([Problem("training.gradient_checkpointing", message, "Leave it out.")])


def _announce(setup: Setup, model: PreTrainedModel, progress: Progress) -> None:
    """Say what will be trained and what there is to know about the data; write what a checkpoint is loaded with."""
    run, plan, training = setup.run, setup.plan, setup.recipe.training
    if setup.accelerator.is_main_process:
        save_model_init(setup, model)
    if progress.step == 0:
        for notice in setup.prepared.notices:
            run.alert(notice.level, notice.code, notice.message, notice.hint)
        if not setup.precision.native:
            message = f"{setup.precision.name} is emulated on this processor, about 20 times slower than fp32"
            run.alert("warning", "slow-precision", message, "Set training.precision: auto.")
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    run.emit(
        "plan",
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
        num_train_epochs=plan.epoch(plan.total_steps),
        train_examples=plan.examples,
        examples={name: len(split) for name, split in setup.prepared.splits.items()},
        per_device_train_batch_size=progress.per_device_batch_size,
        gradient_accumulation_steps=math.ceil(plan.batch_size / (progress.per_device_batch_size * plan.world_size)),
        processes=plan.world_size,
        parameters=sum(size for size, _ in sizes),
        trainable_parameters=sum(size for size, learns in sizes if learns),
        device=str(setup.accelerator.device),
        precision=setup.precision.name,
        threads=torch.get_num_threads(),
        learning_rate=plan.peak_learning_rate,
        metric=plan.metric,
    )
    if training.gradient_checkpointing:
        # transformers 6 has only the new name, early versions of 5 only the old one.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})


def _now(run: RunWriter, detail: str) -> None:
    """Say what is being prepared; a request to stop is obeyed before it begins."""
    check_requests(run)
    run.set_state(status="preparing", phase="preparing")
    run.emit("phase", phase="preparing", detail=detail)


def _noting(run: RunWriter) -> Callable[[str], None]:
    """Return what takes the one-line notes of resolving and loading: where a model came from, how splits were cut."""
    return lambda text: run.alert("info", "note", text)


@contextmanager
def _clear_errors(run: RunWriter) -> Iterator[None]:
    """Turn a request met outside training, a full disk and too little memory into errors that say what to do."""
    try:
        yield
    except Asked as asked:
        run.clear_request(asked.request)
        raise interrupted(asked.request, run.state.step) from None
    except (OSError, SafetensorError) as error:
        if not _is_full_disk(error):
            raise
        hint = f"Make room, then `hftune resume {lasting_name(run.path)}` goes on from the newest checkpoint."
        raise RunError(f"the disk is full ({getattr(error, 'filename', None) or run.path})", hint) from error
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        hint = "Choose a smaller model, or `method: lora`, which needs a third of the memory."
        raise ModelError("memory does not suffice for the model and its optimizer", hint) from error


def _is_full_disk(error: Exception) -> bool:
    """Whether there was no room; safetensors, which writes the finished model, has the number only in its message."""
    if isinstance(error, OSError):
        return error.errno in (ENOSPC, EDQUOT)
    return any(f"(os error {number})" in str(error) for number in (ENOSPC, EDQUOT))
