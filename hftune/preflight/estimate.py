"""What training will take, from a few real steps: time with its uncertainty, memory, disk.

The steps are those of training itself (training.step), on batches spread evenly from the shortest to the longest of
the first epoch. A straight line, seconds = a + b · tokens, then says how long each batch of the plan takes; how far the
measured steps lie from that line says how sure it is.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hftune import methods, tasks
from hftune.energy.usage import Usage
from hftune.figures import duration, size
from hftune.recipe.schema import Recipe
from hftune.recipe.validate import with_training
from hftune.tasks import Notice, Prepared

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hftune.data.batches import Indices
    from hftune.runs.writer import RunWriter
    from hftune.training.consumption import Consumption
    from hftune.training.progress import Plan
    from hftune.training.step import Learner, Setup

MOST_STEPS, FEWEST_STEPS = 16, 6
WARM_UP = 2  # the first steps allocate memory and choose kernels
BUDGET_SECONDS = 8.0


@dataclass(frozen=True)
class Estimate:
    """Seconds are of training and evaluating, without loading and saving; `error` is about two standard errors.

    `search_seconds`: those of the range test that `learning_rate: auto` adds.
    `usage`: energy, CO2 and operations of training and evaluating, at the rate an operation of the measured steps; None
    where no meter tells.
    `memory_bytes`: the most this process held (of an accelerator: its tensors). `disk_bytes`: the checkpoints that are
    kept, one being written, and the model. `seconds` is an upper bound when early stopping or a target loss may end it.
    """

    total_steps: int
    steps_per_epoch: int
    train_seconds: float
    evaluation_seconds: float
    error_seconds: float
    samples_per_second: float
    memory_bytes: int
    checkpoint_bytes: int
    disk_bytes: int
    measured_steps: int
    device: str
    precision: str
    threads: int
    notices: tuple[Notice, ...] = ()
    search_seconds: float = 0.0
    usage: Usage | None = None

    @property
    def seconds(self) -> float:
        """Training and evaluation together, and the search before them."""
        return self.train_seconds + self.evaluation_seconds + self.search_seconds

    def describe(self) -> list[str]:
        """Return lines for a person."""
        error = max(self.error_seconds, 1.0)
        search = f", range test {duration(self.search_seconds)}" if self.search_seconds else ""
        unsure = "; this machine is busy with other work" if self.error_seconds > self.seconds / 2 else ""
        return [
            f"time        about {duration(self.seconds)} ± {duration(error)}: {self.total_steps:,} steps at "
            f"{self.samples_per_second:.3g} samples/s, evaluation {duration(self.evaluation_seconds)}{search} "
            f"(measured: {self.measured_steps} steps, {self.device}, {self.precision}, {self.threads} threads{unsure})",
            f"memory      about {size(self.memory_bytes)}",
            f"disk        about {size(self.disk_bytes)} (a checkpoint: {size(self.checkpoint_bytes)})",
            *([f"energy      {self.usage.tell()} ({self.usage.how})"] if self.usage is not None else []),
        ]


class _NoRun:
    """Stands where a step expects a run directory: there is none, and what it would be told is kept."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def alert(self, level: str, code: str, message: str, hint: str = "", step: int | None = None) -> None:
        self.notices.append(Notice(level, code, message, hint))


def measure(
    recipe: Recipe,
    prepared: Prepared,
    model: PreTrainedModel,
    budget: float = BUDGET_SECONDS,
    metered: bool = False,
) -> Estimate:
    """Train `model` for a few steps, at most about `budget` seconds, and return what a whole run would take.

    `metered`: energy and operations too, which takes a second or two more. The model's weights are changed. Raises
    ModelError when memory does not suffice.
    """
    import torch

    from hftune.training.consumption import Consumption, open_meter
    from hftune.training.device import open_accelerator
    from hftune.training.lr_curve import STEP_COST, STEPS
    from hftune.training.precision import choose_precision
    from hftune.training.progress import make_plan
    from hftune.training.step import Setup, make_learner

    no_run = _NoRun()
    accelerator = open_accelerator(recipe.training)
    task, method = tasks.registry.load(recipe.task.name), methods.registry.load(recipe.method.name)
    searched = STEPS * (1 + 1 / STEP_COST) if recipe.training.learning_rate == "auto" else 0.0
    if searched:  # the time of a step does not depend on its rate
        recipe = with_training(recipe, learning_rate=float(method.DEFAULT_LEARNING_RATE))
    plan = make_plan(recipe, task, len(prepared.splits["train"]), 1)
    precision = choose_precision(recipe.training.precision, accelerator.device)
    run = cast("RunWriter", no_run)
    setup = Setup(recipe, task, method, prepared, plan, precision, accelerator, run)
    learner = make_learner(setup, model.to(accelerator.device).train())
    with open_meter(recipe, accelerator) if metered else nullcontext() as meter:
        consumption = Consumption(setup, learner, meter) if meter is not None else None
        work, seconds, all_work, usage = _train_a_little(setup, learner, budget, consumption)
    train_seconds, error = extrapolate(work, seconds, all_work)
    checkpoint = _checkpoint_bytes(setup, learner)
    return Estimate(
        total_steps=plan.total_steps,
        steps_per_epoch=plan.steps_per_epoch,
        train_seconds=train_seconds,
        evaluation_seconds=_evaluation_seconds(setup, learner, budget / 4),
        error_seconds=error,
        samples_per_second=plan.examples * plan.total_steps / plan.steps_per_epoch / train_seconds,
        memory_bytes=_peak_bytes(accelerator.device),
        checkpoint_bytes=checkpoint,
        disk_bytes=kept_checkpoints(plan, recipe.training.save_total_limit) * checkpoint + _model_bytes(setup, learner),
        measured_steps=len(seconds),
        device=str(accelerator.device),
        precision=precision.name,
        threads=torch.get_num_threads(),
        notices=tuple(no_run.notices),
        search_seconds=train_seconds / plan.total_steps * searched,
        usage=usage,
    )


def extrapolate(work: Sequence[float], seconds: Sequence[float], all_work: Sequence[float]) -> tuple[float, float]:
    """Return the seconds that steps of `all_work` take, and about two standard errors of that sum.

    Least squares of `seconds` on `work`; where the line would fall or start below zero, the mean pace a unit instead.
    """
    import numpy

    x, y, wanted = (numpy.asarray(values, dtype=float) for values in (work, seconds, all_work))
    slope, start = 0.0, float(y.mean())
    if len(x) > 2 and numpy.ptp(x) > 0:
        slope, start = (float(value) for value in numpy.polyfit(x, y, 1))
    if slope < 0:
        slope, start = 0.0, float(y.mean())
    elif start < 0:
        slope, start = float(y.sum() / x.sum()), 0.0
    total = float(start * len(wanted) + slope * wanted.sum())
    spread = float(numpy.sqrt(((y - start - slope * x) ** 2).sum() / max(1, len(x) - 2)))
    # Another error grows with the distance between what was measured and what is wanted.
    around = float(((x - x.mean()) ** 2).sum())
    distance = (wanted.mean() - x.mean()) ** 2 / around if around else 0.0
    return total, 2 * spread * len(wanted) * float(numpy.sqrt(1 / len(x) + distance))


def kept_checkpoints(plan: Plan, save_total_limit: int) -> int:
    """Return how many checkpoints lie on the disk at most: the newest, the best, and one being written."""
    saves = sum(plan.saves_at(step) for step in range(1, plan.total_steps + 1))
    return min(saves, save_total_limit + 2)


def spread_picks(work: Sequence[float], count: int) -> list[int]:
    """Return the positions of `count` values spread evenly over their order of size, the largest first."""
    order = sorted(range(len(work)), key=lambda position: -work[position])
    if len(order) <= count:
        return order
    return [order[round(pick * (len(order) - 1) / (count - 1))] for pick in range(count)]


def _train_a_little(
    setup: Setup, learner: Learner, budget: float, consumption: Consumption | None
) -> tuple[list[float], list[float], list[float], Usage | None]:
    """Return tokens and seconds of each measured step, the tokens of every step of the plan, and what all would use."""
    from hftune.training.progress import Progress
    from hftune.training.step import train_step

    batches, lengths = _first_epoch(setup)
    work = [float(len(batch) * lengths[batch].max()) for batch in batches]
    # The largest first: if memory does not suffice, it shows now, and its peak is the run's.
    picks = spread_picks(work, MOST_STEPS)
    # Then in an order that has short and long ones wherever the budget ends.
    rest = sorted(picks[1:], key=lambda pick: (pick * 2654435761) % 2**32)
    progress = Progress(per_device_batch_size=setup.recipe.training.per_device_train_batch_size)
    for pick in [picks[0], *rest][:WARM_UP]:
        train_step(setup, learner, progress, batches[pick])
    measured: list[float] = []
    tokens: list[float] = []
    if consumption is not None:
        consumption.begin()
    began = time.perf_counter()
    for pick in [*rest, picks[0]]:
        start = time.perf_counter()
        train_step(setup, learner, progress, batches[pick])
        measured.append(time.perf_counter() - start)
        tokens.append(work[pick])
        if consumption is not None:
            consumption.trained(batches[pick], progress.per_device_batch_size)
        if len(measured) >= FEWEST_STEPS and time.perf_counter() - began > budget:
            break
    full, part = divmod(setup.plan.total_steps, len(work))
    return tokens, measured, work * full + work[:part], consumption.estimate() if consumption is not None else None


def _first_epoch(setup: Setup) -> tuple[list[Indices], Any]:
    from hftune.data.batches import batch_plan

    training = setup.recipe.training
    lengths = setup.prepared.splits["train"].with_format("numpy")["length"][:]
    batches = batch_plan(
        lengths,
        seed=training.seed,
        epoch=0,
        batch_size=setup.plan.batch_size,
        group_by_length=training.group_by_length,
    )
    return batches, lengths


def _evaluation_seconds(setup: Setup, learner: Learner, budget: float) -> float:
    """Return the seconds of all evaluations: validation as often as the plan says, test once."""
    import numpy
    import torch

    from hftune.training.evaluation import fetch, forward

    plan, device = setup.plan, setup.accelerator.device
    size_ = setup.recipe.training.per_device_eval_batch_size
    times = {"validation": sum(plan.evaluates_at(step) for step in range(1, plan.total_steps + 1)), "test": 1}
    learner.model.eval()
    total = 0.0
    for split, count in times.items():
        if split not in setup.prepared.splits:
            continue
        lengths = numpy.asarray(setup.prepared.splits[split]["length"][:])
        order = numpy.argsort(-lengths, kind="stable")
        batches = [order[start : start + size_] for start in range(0, len(order), size_)]
        work = [float(len(batch) * lengths[batch].max()) for batch in batches]
        picks, seconds, began = spread_picks(work, 6), list[float](), time.perf_counter()
        with torch.no_grad():
            for pick in picks:
                start = time.perf_counter()
                float(
                    forward(learner.model, fetch(setup.prepared, split, batches[pick]), setup.precision, device)[
                        0
                    ].sum()
                )
                seconds.append(time.perf_counter() - start)
                if time.perf_counter() - began > budget / 2:
                    break
        total += count * extrapolate([work[pick] for pick in picks[: len(seconds)]], seconds, work)[0]
    return total


def _checkpoint_bytes(setup: Setup, learner: Learner) -> int:
    from hftune.training.optimizer import optimizer_tensors

    optimizer = sum(_bytes(tensor) for tensor in optimizer_tensors(learner.optimizer, learner.model).values())
    return optimizer + _model_bytes(setup, learner)


def _model_bytes(setup: Setup, learner: Learner) -> int:
    state = setup.method.trainable_state(cast("PreTrainedModel", learner.model))
    return sum(_bytes(tensor) for tensor in state.values())


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _peak_bytes(device: Any) -> int:
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
