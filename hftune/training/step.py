"""One optimizer step: a global batch in, new weights out.

The loss is the sum over the whole global batch divided by its weight, over all micro-batches and processes: so
accumulation and processes give what one large batch gives. Gradients are summed once, after the last micro-batch
(no DistributedDataParallel: it averages per rank, which is wrong for unequal shares).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator

from hftune.data.batches import Indices, micro_batches
from hftune.errors import ModelError
from hftune.methods import Method
from hftune.recipe.schema import Recipe
from hftune.runs.writer import RunWriter
from hftune.tasks import Batch, Prepared, Task
from hftune.training.collective import sum_gradients, sum_over_ranks
from hftune.training.device import is_out_of_memory, release_memory
from hftune.training.evaluation import fetch, forward
from hftune.training.optimizer import make_optimizer, set_learning_rate, trained_parameters
from hftune.training.precision import Precision
from hftune.training.progress import Plan, Progress
from hftune.training.randomness import seed_forward
from hftune.training.schedule import learning_rate

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Setup:
    """All that training reads and never changes."""

    recipe: Recipe
    task: Task
    method: Method
    prepared: Prepared
    plan: Plan
    precision: Precision
    accelerator: Accelerator
    run: RunWriter


@dataclass(frozen=True)
class Learner:
    """What training changes: the model, the optimizer's state, the scale of fp16 gradients."""

    model: PreTrainedModel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None


def make_learner(setup: Setup, model: PreTrainedModel) -> Learner:
    """Return the model with a fresh optimizer and scaler."""
    return Learner(model, make_optimizer(model, setup.recipe.training), setup.precision.scaler())


@dataclass(frozen=True)
class StepResult:
    """What came of a step, the same on every process; `loss` is summed over the global batch."""

    loss: float
    weight: float
    grad_norm: float
    learning_rate: float
    finite: bool  # False: the weights were left as they were


def train_step(setup: Setup, learner: Learner, progress: Progress, batch: Indices) -> StepResult:
    """Train on one global batch; halves `progress.per_device_batch_size` when memory runs out, and tries again."""
    plan, training = setup.plan, setup.recipe.training
    rate = learning_rate(
        training.lr_scheduler_type, progress.step, peak=plan.peak_learning_rate, warmup=plan.warmup,
        total=plan.total_steps,
    )  # fmt: skip
    set_learning_rate(learner.optimizer, rate)
    while (summed := _gradients(setup, learner, progress, batch)) is None:
        learner.optimizer.zero_grad(set_to_none=True)
        release_memory(setup.accelerator.device)
        _halve(setup, progress)
    loss, weight = summed
    norm, finite = _update(setup, learner, loss)
    return StepResult(loss, weight, norm, rate, finite)


def _gradients(setup: Setup, learner: Learner, progress: Progress, batch: Indices) -> tuple[float, float] | None:
    """Leave this process's gradients in the model; return the global loss sum and weight, None when memory ran out."""
    accelerator = setup.accelerator
    parts = micro_batches(
        batch,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        per_device_batch_size=progress.per_device_batch_size,
    )
    epoch = progress.step // setup.plan.steps_per_epoch
    batches = [fetch(setup.prepared, "train", part, epoch) if len(part) else None for part in parts]
    weights = [setup.task.weight(setup.recipe, setup.prepared, each) for each in batches if each is not None]
    (weight,) = sum_over_ranks(accelerator, [sum(float(each) for each in weights)])
    # A batch without a single target (weight 0) has loss 0 and no gradient, rather than 0/0.
    divisor = weight or 1.0
    loss, misfit = 0.0, 0.0
    try:
        loss = _backward(setup, learner, progress.step, batches, divisor)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        misfit = 1.0
    # Agreed by all, so that no process waits for gradients of one that has none.
    loss, misfit = sum_over_ranks(accelerator, [loss, misfit])
    return None if misfit else (loss, weight)


def _backward(setup: Setup, learner: Learner, step: int, batches: list[Batch | None], divisor: float) -> float:
    losses = []
    for number, batch in enumerate(batches):
        if batch is None:
            continue
        seed_forward(setup.recipe.training.seed, step, number, setup.accelerator.process_index)
        logits, batch = forward(learner.model, batch, setup.precision, setup.accelerator.device)
        loss = setup.task.loss(setup.recipe, setup.prepared, logits, batch)
        part = loss / divisor
        torch.autograd.backward(part if learner.scaler is None else learner.scaler.scale(part))
        losses.append(loss.detach())
    # .item() waits for the device, so once a step and not once a micro-batch.
    return float(torch.stack(losses).sum().item()) if losses else 0.0


def _update(setup: Setup, learner: Learner, loss: float) -> tuple[float, bool]:
    """Clip and apply the gradients; return their norm before clipping, and whether all was finite."""
    limit, optimizer, scaler = setup.recipe.training.max_grad_norm, learner.optimizer, learner.scaler
    parameters = [parameter for _, parameter in trained_parameters(learner.model)]
    sum_gradients(setup.accelerator, parameters)
    if scaler is not None:
        scaler.unscale_(optimizer)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = torch.nn.utils.get_total_norm(gradients)
    norm = float(total.item())
    if limit and limit <= norm < math.inf:  # below the limit, torch would multiply every gradient by one
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, total)
    finite = math.isfinite(loss) and math.isfinite(norm)
    if scaler is not None:
        # It skips the update itself when a gradient overflowed, which is how it finds its scale: not a bad step, unless
        # the scale has become so small that the gradients must be infinite by themselves.
        scaler.step(optimizer)
        scaler.update()
        finite = finite or (math.isfinite(loss) and scaler.get_scale() >= 1.0)
    elif finite:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm, finite


def _halve(setup: Setup, progress: Progress) -> None:
    size = progress.per_device_batch_size
    hint = "Lower data.max_length, or set training.gradient_checkpointing: true, or choose a smaller model."
    if size == 1:
        raise ModelError("out of memory with one example in a batch", hint=hint)
    if not setup.recipe.training.auto_find_batch_size:
        raise ModelError(
            f"out of memory with {size} examples in a batch",
            hint=f"Lower training.per_device_train_batch_size, or set training.auto_find_batch_size: true. {hint}",
        )
    progress.per_device_batch_size = size // 2
    setup.run.alert(
        "warning",
        "out-of-memory",
        f"memory ran out with {size} examples in a batch: going on with {size // 2} and more accumulation, "
        "so that an optimizer step still sees as many",
        hint=f"Set training.per_device_train_batch_size: {size // 2} to begin with that.",
        step=progress.step,
    )
