"""The learning-rate range test: some steps at exponentially rising rates, after which all is as it was before.

Smith 2017, Cyclical Learning Rates for Training Neural Networks (arXiv:1506.01186), section 3.3, with rates that rise
exponentially as in Smith 2018 (arXiv:1803.09820). Its steps are those of training itself, on the same batches.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from hftune.data.batches import Indices, batch_plan, micro_batches
from hftune.errors import HftuneError
from hftune.recipe.validate import with_training
from hftune.training.collective import sum_over_ranks
from hftune.training.evaluation import fetch, forward
from hftune.training.lr_curve import (
    STEP_COST,
    STEPS,
    Curve,
    candidates,
    exponential_rates,
    is_over,
    middle_rate,
    rate_name,
)
from hftune.training.progress import Progress
from hftune.training.randomness import kept_randomness, seed_forward
from hftune.training.step import Setup, make_learner, train_step

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# So far below and above the usual rates: what is too small and what is too large should be seen as well.
_BELOW, _ABOVE = 3.0, 10.0
_SGD_RANGE = (1e-4, 10.0)


@dataclass(frozen=True)
class Choice:
    """What `learning_rate: auto` found: the rate, the rules' candidates (none: the loss never fell), and the curve."""

    rate: float
    candidates: dict[str, float]
    curve: Curve


def usual_rates(setup: Setup) -> tuple[float, float] | None:
    """Return the method's usual band, None with an optimizer that it is not about."""
    training = setup.recipe.training
    return None if training.optim == "sgd" else setup.method.usual_learning_rates(setup.recipe.model)


def outside_the_usual(setup: Setup, rate: float) -> str:
    """Return a warning when a rate is outside of the method's usual band, empty when it is not or there is none."""
    band = usual_rates(setup)
    if band is None or band[0] <= rate <= band[1]:
        return ""
    side, weights = "below" if rate < band[0] else "above", "" if setup.recipe.model.id else " of a model from scratch"
    usual = f"{rate_name(band[0])} to {rate_name(band[1])}"
    return f"{rate_name(rate)} is {side} what is usual for `method: {setup.recipe.method.name}`{weights} ({usual})"


def rates_to_try(setup: Setup, steps: int = STEPS, low: float | None = None, high: float | None = None) -> list[float]:
    """Return the rates of a range test: from far below to far above the usual ones, unless other ends are given."""
    band = usual_rates(setup)
    ends = (band[0] / _BELOW, band[1] * _ABOVE) if band else _SGD_RANGE
    return exponential_rates(low or ends[0], high or ends[1], steps)


def range_test(
    setup: Setup, model: PreTrainedModel, rates: Sequence[float], on_step: Callable[[float], None] = lambda share: None
) -> Curve:
    """Train `model` a step at each of the rates, put everything back, and return the curve.

    It ends early once the loss is no number or far above where it began. The optimizer is a fresh one of its own;
    weights, buffers, gradients, modes and the global random generators are restored bit for bit, also when `on_step`
    (called with the share of the work done) or a step raises. Raises HftuneError when no loss is finite from the start.
    """
    batches = list(itertools.islice(_batches(setup), len(rates)))
    work = len(rates) * (1 + STEP_COST)
    losses: list[float] = []
    with untouched(model):
        model.train()
        before = []
        for step, batch in enumerate(batches):
            before.append(_loss(setup, model, step, batch))
            on_step(len(before) / work)
        level = _mean_of_finite(before)
        learner = make_learner(setup, model)
        progress = Progress(per_device_batch_size=setup.recipe.training.per_device_train_batch_size)
        for rate, batch in zip(rates, batches, strict=True):
            result = train_step(_at_constant(setup, rate), learner, progress, batch)
            if not (result.weight and math.isfinite(before[progress.step])):
                # A batch without a target, or without a finite loss at any rate, says nothing of this one.
                before[progress.step] = level
                losses.append(level)
            else:
                losses.append(result.loss / result.weight)
            progress.step += 1
            on_step((len(rates) + STEP_COST * progress.step) / work)
            if is_over(curve := _curve(rates, losses, before)):
                break
    return curve


def choose_rate(setup: Setup, model: PreTrainedModel, on_step: Callable[[float], None]) -> Choice:
    """Return the rate for `learning_rate: auto`: the median of the rules' candidates.

    Where the loss did not fall at any rate it is the method's default.
    """
    curve = range_test(setup, model, rates_to_try(setup), on_step)
    found = candidates(curve)
    rate = middle_rate(list(found.values())) if found else float(setup.method.DEFAULT_LEARNING_RATE)
    return Choice(float(f"{rate:.2g}"), found, curve)


@contextmanager
def untouched(model: torch.nn.Module) -> Iterator[None]:
    """Put back afterwards, bit for bit: weights that learn, buffers, gradients, modes, global random generators.

    One copy of what learns is held meanwhile.
    """
    tensors = [*(each for each in model.parameters() if each.requires_grad), *model.buffers()]
    kept = [tensor.detach().clone() for tensor in tensors]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    for parameter, _ in gradients:
        parameter.grad = None
    with kept_randomness():
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, before in zip(tensors, kept, strict=True):
                    tensor.copy_(before)
            for parameter, gradient in gradients:
                parameter.grad = gradient
            for module, mode in modes:
                module.training = mode


def _at_constant(setup: Setup, rate: float) -> Setup:
    """Return the setup of a step at this rate, whatever the recipe's schedule."""
    recipe = with_training(setup.recipe, lr_scheduler_type="constant")
    return replace(setup, recipe=recipe, plan=replace(setup.plan, peak_learning_rate=rate, warmup=0))


def _curve(rates: Sequence[float], losses: Sequence[float], before: Sequence[float]) -> Curve:
    done = len(losses)
    return Curve(tuple(rates[:done]), tuple(losses), tuple(before[:done]), steps=len(rates))


@torch.no_grad()
def _loss(setup: Setup, model: PreTrainedModel, step: int, batch: Indices) -> float:
    """Return the loss that a training step has on this batch, dropout drawn alike, without taking the step."""
    training, accelerator = setup.recipe.training, setup.accelerator
    parts = micro_batches(
        batch,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        per_device_batch_size=training.per_device_train_batch_size,
    )
    loss = weight = 0.0
    for number, part in enumerate(parts):
        if not len(part):
            continue
        examples = fetch(setup.prepared, "train", part, step // setup.plan.steps_per_epoch)
        weight += float(setup.task.weight(setup.recipe, setup.prepared, examples))
        seed_forward(training.seed, step, number, accelerator.process_index)
        logits, examples = forward(model, examples, setup.precision, accelerator.device)
        loss += float(setup.task.loss(setup.recipe, setup.prepared, logits, examples))
    loss, weight = sum_over_ranks(accelerator, [loss, weight])
    return loss / (weight or 1.0)


def _batches(setup: Setup) -> Iterator[Indices]:
    """Yield the global batches of training in their order, epoch after epoch."""
    training, epoch = setup.recipe.training, 0
    lengths = setup.prepared.splits["train"].with_format("numpy")["length"][:]
    while True:
        yield from batch_plan(
            lengths,
            seed=training.seed,
            epoch=epoch,
            batch_size=setup.plan.batch_size,
            group_by_length=training.group_by_length,
        )
        epoch += 1


def _mean_of_finite(losses: Sequence[float]) -> float:
    finite = [loss for loss in losses if math.isfinite(loss)]
    if finite:
        return fmean(finite)
    raise HftuneError(
        "the loss is not finite before any weight has moved: no learning rate can help",
        hint="Set training.precision: fp32, and look at the data and the model with `hftune check`.",
    )
