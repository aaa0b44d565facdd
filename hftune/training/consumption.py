"""What an attempt has used so far: energy by the meter, floating-point operations by the lengths of its batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hftune.data.batches import Indices, batch_plan, micro_batches
from hftune.energy.flops import RowCost, row_cost
from hftune.energy.meter import Meter
from hftune.energy.usage import JOULES, Usage, total
from hftune.recipe.schema import Recipe
from hftune.runs.consumption import Consumed
from hftune.training.device import release_memory
from hftune.training.evaluation import fetch, forward
from hftune.training.step import Learner, Setup

COUNTED_LENGTH = 256  # tokens of the longest row that is counted, where there are three lengths up to it
READ_SECONDS = 2.0  # for which a reading is good enough for a point of the curve: reading costs milliseconds
FIRST_SECONDS = 10.0  # of training after which the whole is estimated


def open_meter(recipe: Recipe, accelerator: Accelerator) -> AbstractContextManager[Meter | None]:
    """Return a meter of what training takes; the first process has the only one, unless the recipe has none."""
    if not accelerator.is_main_process or not recipe.energy.meter:
        return nullcontext()
    return Meter(recipe.energy.grid(), 0 if accelerator.device.type == "cpu" else accelerator.num_processes)


class Consumption:
    """Books of one attempt. Without a meter, or where a row's operations cannot be counted, that part stays unknown.

    `flops`: operations so far, of training and evaluating.
    """

    def __init__(self, setup: Setup, learner: Learner, meter: Meter | None, before: Consumed | None = None) -> None:
        """`before`: what attempts before this one used."""
        self._setup, self._meter = setup, meter
        self._lengths = {name: np.asarray(split["length"][:]) for name, split in setup.prepared.splits.items()}
        self._training: RowCost | None
        self._reading: RowCost | None
        self._training, self._reading = _counted(setup, learner, self._lengths["train"])
        self.flops = 0.0
        self._before_wh = 0.0 if before is None else before.used.wh
        self._first: Usage | None = None  # when training began
        self._estimate: Usage | None = None
        self._estimated = self._complained = False
        self._newest: tuple[float, Usage | None] = (-READ_SECONDS, None)

    def begin(self) -> None:
        """Training begins: what was used until now was for making ready."""
        self._first = self.usage()

    def trained(self, batch: Indices, per_device_batch_size: int) -> None:
        """Take in a global batch."""
        self.flops += self._step_flops(batch, per_device_batch_size)

    def evaluated(self, split: str) -> None:
        """Take in an evaluation."""
        self.flops += self._split_flops(split)

    def usage(self) -> Usage | None:
        """Return what the attempt has used, None while nothing is known."""
        found = self._meter.read() if self._meter is not None else None
        if found is None:
            self._complain()
            return None
        world = self._setup.accelerator.num_processes
        if world > 1 and not found.counted:  # the others do the same, and are no children of this one
            more = (world - 1) * (found.cpu_wh + found.ram_wh)
            found = replace(
                found,
                cpu_wh=found.cpu_wh * world,
                ram_wh=found.ram_wh * world,
                co2_g=found.co2_g * (1 + more / found.wh if found.wh else world),
                how=f"{found.how}; rank 0 × {world}",
            )
        return replace(found, flops=self.flops if self._training is not None else None)

    def timing(self) -> dict[str, Any]:
        """Return what a point of the curve says of energy: that of all attempts so far."""
        read, used = self._newest
        if time.monotonic() - read >= READ_SECONDS:
            self._newest = time.monotonic(), (used := self.usage())
        if used is None:
            return {}
        return {"energy_joules": (self._before_wh + used.wh) * JOULES, "energy_counted": used.counted}

    def tell(self, step: int) -> Usage | None:
        """Write down what was used up to `step`, with what the whole run was estimated to use."""
        used = self.usage()
        if used is None:
            return None
        estimate = None if self._estimate is None else self._estimate.to_dict()
        self._setup.run.emit("energy", step=step, usage=used.to_dict(), estimate=estimate)
        return used

    def finish(self, step: int, tested: bool) -> None:
        """Tell what the attempt used to its end; `tested`: the test split was scored as well."""
        if tested:
            self.evaluated("test")
        self.tell(step)

    def estimate_early(self, step: int, elapsed_seconds: float) -> None:
        """After the first seconds of training say once what the whole plan would use at this rate an operation."""
        if not self._estimated and elapsed_seconds >= FIRST_SECONDS:
            self._estimated, self._estimate = True, self.estimate()
            self.tell(step)

    def estimate(self) -> Usage | None:
        """Return what all would use: making ready, and the whole plan at the rate an operation since training began."""
        used, first = self.usage(), self._first
        if used is None or first is None or not self.flops:
            return None
        return total([first, used.since(first).times(self.plan_flops() / self.flops)])

    def _complain(self) -> None:
        """Say once why nothing is known of energy."""
        if self._meter is not None and self._meter.problem and not self._complained:
            self._complained = True
            self._setup.run.alert("info", "no-energy", f"energy is not metered: {self._meter.problem}")

    def _step_flops(self, batch: Indices, per_device_batch_size: int) -> float:
        if self._training is None:
            return 0.0
        world, lengths = self._setup.plan.world_size, self._lengths["train"]
        flops = 0.0
        for rank in range(world):
            parts = micro_batches(batch, rank=rank, world_size=world, per_device_batch_size=per_device_batch_size)
            for part in parts:
                if len(part):
                    flops += self._training.of(np.full(len(part), lengths[part].max()))
        return flops

    def _split_flops(self, split: str) -> float:
        if self._reading is None:
            return 0.0
        size = self._setup.recipe.training.per_device_eval_batch_size
        lengths = np.sort(self._lengths[split])[::-1]
        return sum(
            self._reading.of(np.full(len(part), part[0]))
            for part in (lengths[start : start + size] for start in range(0, len(lengths), size))
        )

    def plan_flops(self) -> float:
        """Return the operations of the whole plan: those of the first epoch times the epochs, and the evaluations."""
        plan, training = self._setup.plan, self._setup.recipe.training
        batches = batch_plan(
            self._lengths["train"],
            seed=training.seed,
            epoch=0,
            batch_size=plan.batch_size,
            group_by_length=training.group_by_length,
        )[: plan.total_steps]
        epoch = sum(self._step_flops(batch, training.per_device_train_batch_size) for batch in batches)
        evaluations = sum(plan.evaluates_at(step) for step in range(1, plan.total_steps + 1))
        times = {"validation": evaluations, "test": 1}
        read = sum(count * self._split_flops(split) for split, count in times.items() if split in self._lengths)
        return epoch * plan.total_steps / len(batches) + read


def _counted(setup: Setup, learner: Learner, lengths: Any) -> tuple[RowCost, RowCost] | tuple[None, None]:
    """Return what a row costs by its length when it is learned and when it is read, from rows of the train split.

    Nothing where that cannot be counted: whatever a model does that torch's counter cannot follow, the run goes on.
    """
    rows, device = _rows_to_count(lengths), setup.accelerator.device

    def cost(work: Callable[[Setup, Learner, Indices], None]) -> RowCost:
        return row_cost(lambda length: work(setup, learner, np.array([rows[length]])), list(rows))

    was_training = learner.model.training
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return cost(_learn), cost(_read)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0][:200]
        setup.run.alert("info", "no-operations", f"operations are not counted: {type(error).__name__}: {first}")
        return None, None
    finally:
        learner.optimizer.zero_grad(set_to_none=True)
        learner.model.train(was_training)
        release_memory(device)


def _rows_to_count(lengths: Any) -> dict[int, int]:
    """Return length -> row for a short, a middle and a long row; very long ones only where there are no others."""
    found = np.unique(lengths)
    short = found[found <= COUNTED_LENGTH]
    some = short if len(short) >= 3 else found
    picked = {int(some[0]), int(some[len(some) // 2]), int(some[-1])}
    return {length: int(np.flatnonzero(lengths == length)[0]) for length in sorted(picked)}


def _learn(setup: Setup, learner: Learner, rows: Indices) -> None:
    """Pass rows through the model and back, as training does; whoever calls lets the gradients go."""
    learner.model.train()  # checkpointed layers compute what they let go of once more only then
    batch = fetch(setup.prepared, "train", rows, 0)
    logits, batch = forward(learner.model, batch, setup.precision, setup.accelerator.device)
    torch.autograd.backward(setup.task.loss(setup.recipe, setup.prepared, logits, batch))


def _read(setup: Setup, learner: Learner, rows: Indices) -> None:
    learner.model.eval()
    with torch.no_grad():  # with an epoch, so that as many tokens are hidden as in held-out texts
        forward(learner.model, fetch(setup.prepared, "train", rows, 0), setup.precision, setup.accelerator.device)
