"""What an attempt has used so far: energy by the meter, floating-point operations by the lengths of its batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from hftune.data.batches import Indices, batch_plan, micro_batches
from hftune.energy.flops import RowCost, row_cost
from hftune.energy.meter import Meter
from hftune.energy.usage import JOULES, Usage
from hftune.runs.consumption import Consumed
from hftune.training.device import release_memory
from hftune.training.evaluation import fetch, forward
from hftune.training.step import Learner, Setup

COUNTED_LENGTH = 64  # tokens of the longest row that is counted, where there are shorter ones; longer ones follow
FIRST_SECONDS = 10.0  # of training after which the whole is estimated


class Consumption:
    """Books of one attempt. Without a meter, or where a row's operations cannot be counted, that part stays unknown.

    `flops`: operations so far, of training and evaluating.
    """

    def __init__(self, setup: Setup, learner: Learner, meter: Meter | None, before: Consumed | None = None) -> None:
        """`before`: what attempts before this one used."""
        self._setup, self._meter = setup, meter
        self._lengths = {name: np.asarray(split["length"][:]) for name, split in setup.prepared.splits.items()}
        self._training = _counted(setup, lambda rows: _learn(setup, learner, rows), self._lengths["train"])
        self._reading = _counted(setup, lambda rows: _read(setup, learner, rows), self._lengths["train"])
        self.flops = 0.0
        self._before_wh = 0.0 if before is None else before.used.wh
        self._estimate: Usage | None = None

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
            return None
        others = self._setup.accelerator.num_processes - 1
        if others and not found.counted:  # they do the same, and are no children of this one
            found = replace(found, cpu_wh=found.cpu_wh * (1 + others), how=f"{found.how}; rank 0 × {1 + others}")
        return replace(found, flops=self.flops if self._training is not None else None)

    def timing(self) -> dict[str, Any]:
        """Return what a point of the curve says of energy: that of all attempts so far."""
        used = self.usage()
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

    def estimate_early(self, step: int, elapsed_seconds: float) -> None:
        """After the first seconds of training say once what the whole plan would use at this rate an operation."""
        if self._estimate is None and elapsed_seconds >= FIRST_SECONDS:
            self._estimate = self.estimate()
            self.tell(step)

    def estimate(self, before: Usage | None = None) -> Usage | None:
        """Return what the whole plan would use at the rate an operation so far, or since `before`; None: unknown."""
        used = self.usage()
        if used is not None and before is not None:
            used = used.since(before)
        return used.times(self.plan_flops() / used.flops) if used is not None and used.flops else None

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
        """Return the operations of the whole plan: every step of each epoch, every evaluation."""
        plan, training = self._setup.plan, self._setup.recipe.training
        flops, done, epoch = 0.0, 0, 0
        while done < plan.total_steps:
            batches = batch_plan(
                self._lengths["train"],
                seed=training.seed,
                epoch=epoch,
                batch_size=plan.batch_size,
                group_by_length=training.group_by_length,
            )[: plan.total_steps - done]
            flops += sum(self._step_flops(batch, training.per_device_train_batch_size) for batch in batches)
            done, epoch = done + len(batches), epoch + 1
        evaluations = sum(plan.evaluates_at(step) for step in range(1, plan.total_steps + 1))
        times = {"validation": evaluations, "test": 1}
        return flops + sum(count * self._split_flops(split) for split, count in times.items() if split in self._lengths)


def _counted(setup: Setup, work: Callable[[Indices], object], lengths: Any) -> RowCost | None:
    """Return what a row costs by its length, from rows of the train split; None where that cannot be counted."""
    rows = _rows_to_count(lengths)
    try:
        with torch.random.fork_rng():
            return row_cost(lambda length: work(np.array([rows[length]])), list(rows))
    except Exception as error:  # whatever a model does that torch's counter cannot follow: the run goes on
        setup.run.alert("info", "no-operations", f"operations are not counted: {type(error).__name__}: {error}")
        return None
    finally:
        release_memory(setup.accelerator.device)


def _rows_to_count(lengths: Any) -> dict[int, int]:
    """Return length -> row for three rows of unlike lengths, short ones where there are such."""
    found = np.unique(lengths)
    short = found[found <= max(COUNTED_LENGTH, found[0])]
    picked = {int(short[0]), int(short[len(short) // 2]), int(short[-1])}
    return {length: int(np.flatnonzero(lengths == length)[0]) for length in sorted(picked)}


def _learn(setup: Setup, learner: Learner, rows: Indices) -> None:
    """Pass rows through the model and back; the gradients are let go."""
    try:
        batch = fetch(setup.prepared, "train", rows, 0)
        logits, batch = forward(learner.model, batch, setup.precision, setup.accelerator.device)
        torch.autograd.backward(setup.task.loss(setup.recipe, setup.prepared, logits, batch))
    finally:
        learner.optimizer.zero_grad(set_to_none=True)


def _read(setup: Setup, learner: Learner, rows: Indices) -> None:
    was_training = learner.model.training
    learner.model.eval()
    try:
        with torch.no_grad():
            forward(learner.model, fetch(setup.prepared, "train", rows), setup.precision, setup.accelerator.device)
    finally:
        learner.model.train(was_training)
