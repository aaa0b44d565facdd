"""What a training run will do (Plan, fixed) and how far it has come (Progress, saved in checkpoints)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hftune.data.batches import steps_per_epoch
from hftune.recipe.schema import Recipe, TrainingSection
from hftune.tasks import Task
from hftune.training.schedule import warmup_count


@dataclass(frozen=True)
class Plan:
    """Sizes and turning points of a run: a function of recipe, number of examples and processes alone."""

    examples: int
    world_size: int
    batch_size: int  # examples an optimizer step, over all processes and accumulation
    steps_per_epoch: int
    total_steps: int
    peak_learning_rate: float  # NaN with `auto`, until a range test has found it
    warmup: int
    metric: str
    greater_is_better: bool
    eval_steps: int | None
    save_steps: int | None
    logging_steps: int

    def epoch(self, step: int) -> float:
        """Return how many passes over the train split `step` finished steps are."""
        return round(step / self.steps_per_epoch, 4)

    def logs_at(self, step: int) -> bool:
        """Whether the training curve gets a point after so many steps."""
        return step % self.logging_steps == 0 or step == self.total_steps

    def evaluates_at(self, step: int) -> bool:
        """Whether the model is evaluated after so many steps; always at the end."""
        return step % (self.eval_steps or self.steps_per_epoch) == 0 or step == self.total_steps

    def saves_at(self, step: int) -> bool:
        """Whether a checkpoint is due after so many steps; always at the end."""
        return step % (self.save_steps or self.steps_per_epoch) == 0 or step == self.total_steps


@dataclass
class Progress:
    """How far a run is. All of it is a function of the steps done, none of a clock: so a resumed run has the same."""

    step: int = 0
    per_device_batch_size: int = 0  # smaller than the recipe's once memory ran out
    samples: int = 0
    tokens: int = 0
    interval_loss: float = 0.0  # summed since the last point of the curve
    interval_weight: float = 0.0
    evaluated_step: int = -1  # the last step whose evaluation is complete
    best_step: int | None = None
    best_value: float | None = None
    best_metrics: dict[str, float | None] = field(default_factory=dict)
    evaluations_without_better: int = 0
    bad_steps: int = 0  # steps in a row whose loss or gradient was not finite
    finished: str = ""  # why training is over: steps, early-stopping, target-loss

    def to_json(self) -> dict[str, Any]:
        """Return plain values that strict JSON can hold: a figure that is not finite becomes null."""
        values = asdict(self)
        values["interval_loss"] = _finite(self.interval_loss)
        values["best_metrics"] = {name: _finite(value) for name, value in self.best_metrics.items()}
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        """Return what `to_json` wrote, ignoring fields of other versions."""
        known = {item.name for item in fields(cls)}
        kept = {name: value for name, value in values.items() if name in known}
        if kept.get("interval_loss", 0.0) is None:
            kept["interval_loss"] = math.nan
        return cls(**kept)

    def follow(self, plan: Plan, training: TrainingSection) -> None:
        """Go by a recipe that may have been changed since this was saved; changes nothing when it was not."""
        self.per_device_batch_size = min(self.per_device_batch_size, training.per_device_train_batch_size)
        self.best_value = self.best_metrics.get(plan.metric)
        if self.best_value is None:
            self.best_step, self.best_metrics = None, {}
        patience = training.early_stopping_patience
        if self.finished == "early-stopping" and (patience is None or self.evaluations_without_better < patience):
            self.finished = ""
        if self.finished in ("", "steps"):
            self.finished = "steps" if self.step >= plan.total_steps else ""


def make_plan(recipe: Recipe, task: Task, examples: int, world_size: int) -> Plan:
    """Return the plan of a run."""
    training = recipe.training
    rate = training.learning_rate
    assert rate is not None  # load_recipe fills in the method's default
    batch_size = training.per_device_train_batch_size * training.gradient_accumulation_steps * world_size
    per_epoch = steps_per_epoch(examples, batch_size)
    total = training.max_steps or math.ceil(training.num_train_epochs * per_epoch)
    metric = training.metric_for_best_model or task.DEFAULT_METRIC
    given = training.greater_is_better
    return Plan(
        examples=examples,
        world_size=world_size,
        batch_size=batch_size,
        steps_per_epoch=per_epoch,
        total_steps=total,
        peak_learning_rate=math.nan if isinstance(rate, str) else rate,
        warmup=warmup_count(training.warmup_steps, total),
        metric=metric,
        greater_is_better=task.METRICS[metric] if given is None else given,
        eval_steps=training.eval_steps,
        save_steps=training.save_steps,
        logging_steps=training.logging_steps,
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
