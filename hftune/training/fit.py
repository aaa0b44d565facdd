"""The training loop: steps, the curve, evaluations, checkpoints, requests.

After each step, in this order: a point of the curve, an evaluation, a checkpoint, requests. A checkpoint therefore
holds all that was emitted up to its step, and a run resumed from it emits the rest once more, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import cast

from torch import Tensor

from hftune.data.batches import Indices, batch_plan
from hftune.errors import DivergedError, InterruptedRun
from hftune.runs.writer import RunWriter
from hftune.training.checkpoint import OPTIMIZER, WEIGHTS, rotate, save_checkpoint
from hftune.training.clock import Clock
from hftune.training.collective import from_first_rank, sum_over_ranks
from hftune.training.consumption import Consumption
from hftune.training.device import memory_in_use
from hftune.training.evaluation import evaluate_split
from hftune.training.optimizer import optimizer_tensors
from hftune.training.progress import Progress
from hftune.training.step import Learner, Setup, StepResult, train_step
from hftune.training.trackers import Trackers

# So many steps in a row without a finite loss do not come right again.
BAD_STEPS = 5
# Requests in the order in which they are obeyed.
REQUESTS = ("stop", "pause", "checkpoint")
_PROGRESS_SECONDS = 1.0


class Asked(Exception):  # noqa: N818 - carries a request out of an evaluation
    """A request to stop or pause, met where there is nothing to save first."""

    def __init__(self, request: str) -> None:
        self.request = request


def fit(
    setup: Setup,
    learner: Learner,
    progress: Progress,
    identity: Mapping[str, object],
    consumption: Consumption | None = None,
) -> Progress:
    """Train until the plan, early stopping or the target loss says so; return how far it came.

    `identity` goes into the checkpoints' manifests; `consumption` keeps the books of what the attempt uses. Raises
    InterruptedRun after a request to stop or pause was obeyed (state saved), DivergedError when the loss stays not
    finite, ModelError when memory does not suffice.
    """
    return _Loop(setup, learner, progress, identity, consumption).run()


class _Loop:
    """The state of one attempt; `run` is the story."""

    def __init__(
        self,
        setup: Setup,
        learner: Learner,
        progress: Progress,
        identity: Mapping[str, object],
        consumption: Consumption | None,
    ) -> None:
        self.setup, self.plan, self.writer, self.consumption = setup, setup.plan, setup.run, consumption
        self.learner, self.progress, self.identity = learner, progress, identity
        self.saved_step = progress.step
        self.lengths = setup.prepared.splits["train"].with_format("numpy")["length"][:]
        self.epoch_batches: tuple[int, list[Indices]] = (-1, [])
        self.clock = Clock(self.plan.total_steps, progress.step)
        self.seen_before = (progress.tokens, progress.samples)
        self.trackers = Trackers(setup.accelerator, setup.recipe)

    def run(self) -> Progress:
        self.learner.model.train()
        if self.consumption is not None:
            self.consumption.begin()
        self.writer.set_state(status="training", phase="training", total_steps=self.plan.total_steps)
        try:
            with self.clock.aside():
                self._evaluate_if_due()  # when a request cut this evaluation short in the attempt before
            while not self.progress.finished:
                self._take_step()
        except Asked as asked:  # in an evaluation: this step is done, its evaluation is not
            self._obey(asked.request)
        finally:
            self.trackers.close()
        return self.progress

    def _take_step(self) -> None:
        progress = self.progress
        result = train_step(self.setup, self.learner, progress, self._batch(progress.step))
        self._account(result)
        if self.plan.logs_at(progress.step):
            self._log(result)
        if progress.step >= self.plan.total_steps:
            progress.finished = progress.finished or "steps"
        with self.clock.aside():
            better = self._evaluate_if_due()
            if reason := self._reason_to_save(better):
                self._save(reason)
            for request in self._requests():
                self._obey(request)

    def _batch(self, step: int) -> Indices:
        epoch, position = divmod(step, self.plan.steps_per_epoch)
        if self.epoch_batches[0] != epoch:
            training = self.setup.recipe.training
            batches = batch_plan(
                self.lengths,
                seed=training.seed,
                epoch=epoch,
                batch_size=self.plan.batch_size,
                group_by_length=training.group_by_length,
            )
            self.epoch_batches = (epoch, batches)
        return self.epoch_batches[1][position]

    def _account(self, result: StepResult) -> None:
        """Take a step into the books; raises HftuneError when the loss stays not finite."""
        progress = self.progress
        batch = self._batch(progress.step)
        if self.consumption is not None:
            self.consumption.trained(batch, progress.per_device_batch_size)
        progress.samples += len(batch)
        progress.tokens += int(self.lengths[batch].sum())
        progress.interval_loss += result.loss
        progress.interval_weight += result.weight
        progress.step += 1
        if result.finite:
            progress.bad_steps = 0
            return
        progress.bad_steps += 1
        what = "loss" if not math.isfinite(result.loss) else "gradient"
        hint = "Lower training.learning_rate, or set training.precision: fp32."
        if progress.bad_steps >= BAD_STEPS:
            raise DivergedError(f"the {what} has not been finite for {BAD_STEPS} steps, at step {progress.step}", hint)
        message = f"the {what} is not finite: this step changes nothing"
        self.writer.alert("warning", "nan-loss", message, hint, step=progress.step)

    def _log(self, result: StepResult) -> None:
        progress = self.progress
        loss = progress.interval_loss / progress.interval_weight if progress.interval_weight else math.nan
        progress.interval_loss = progress.interval_weight = 0.0
        metrics = {"loss": loss, "learning_rate": result.learning_rate, "grad_norm": result.grad_norm}
        tokens, samples = self.seen_before
        timing = self.clock.lap(progress.step, progress.tokens - tokens, progress.samples - samples)
        timing["memory_bytes"] = memory_in_use(self.setup.accelerator.device)
        if self.consumption is not None:
            timing |= self.consumption.timing()
        epoch = self.plan.epoch(progress.step)
        self.writer.emit("train", step=progress.step, epoch=epoch, metrics=metrics, timing=timing)
        if self.consumption is not None:
            self.consumption.estimate_early(progress.step, timing["elapsed_seconds"])
        self.trackers.log({f"train/{name}": value for name, value in metrics.items()}, progress.step)
        target = self.setup.recipe.training.target_loss
        if target is not None and loss < target:
            progress.finished = "target-loss"

    # Evaluation

    def _evaluate_if_due(self) -> bool:
        """Evaluate when this step asks for it and it is not done yet; return whether the model is the best so far."""
        progress = self.progress
        due = self.plan.evaluates_at(progress.step) or bool(progress.finished)
        done = progress.evaluated_step == progress.step
        if not progress.step or not due or done or "validation" not in self.setup.prepared.splits:
            return False
        metrics = self._evaluate()
        progress.evaluated_step = progress.step
        return self._judge(metrics)

    def _evaluate(self) -> dict[str, float]:
        """Return the figures of the validation split: rank 0 computes them, all get them."""
        self.writer.set_state(status="evaluating", phase="evaluating")
        watch = EvaluationWatch(self.writer)
        outcome: tuple[dict[str, float], int] | str | None = None
        setup = self.setup
        if setup.accelerator.is_main_process:
            try:
                outcome = evaluate_split(
                    self.learner.model, setup.task, setup.recipe, setup.prepared, "validation", setup.accelerator, watch
                )  # fmt: skip
            except Asked as asked:
                outcome = asked.request
        outcome = from_first_rank(setup.accelerator, outcome)
        if not isinstance(outcome, tuple):
            raise Asked(str(outcome))
        metrics, examples = outcome
        if self.consumption is not None:
            self.consumption.evaluated("validation")
        step = self.progress.step
        timing = {"seconds": watch.seconds}
        epoch = self.plan.epoch(step)
        self.writer.emit(
            "eval", step=step, epoch=epoch, split="validation", examples=examples, metrics=metrics, timing=timing
        )
        self.trackers.log({f"validation/{name}": value for name, value in metrics.items()}, step)
        self.writer.set_state(status="training", phase="training")
        return metrics

    def _judge(self, metrics: dict[str, float]) -> bool:
        """Note whether these figures are the best so far, and whether it is time to stop."""
        progress, training = self.progress, self.setup.recipe.training
        value = metrics[self.plan.metric]
        sign = 1.0 if self.plan.greater_is_better else -1.0
        gain = math.inf if progress.best_value is None else sign * (value - progress.best_value)
        if not math.isfinite(value):
            gain = -math.inf
        if gain > training.early_stopping_threshold:
            progress.evaluations_without_better = 0
        else:
            progress.evaluations_without_better += 1
        patience = training.early_stopping_patience
        if patience is not None and progress.evaluations_without_better >= patience:
            progress.finished = "early-stopping"
        if gain <= 0:
            return False
        progress.best_step, progress.best_value, progress.best_metrics = progress.step, value, dict(metrics)
        self.writer.emit("best", step=progress.step, metric=self.plan.metric, value=value)
        return True

    # Checkpoints and requests

    def _reason_to_save(self, better: bool) -> str:
        step = self.progress.step
        if self.progress.finished:
            return "end"
        if self.progress.bad_steps and not better:
            return ""  # weights that no longer give a finite loss must not push good ones out
        if self.plan.saves_at(step):
            return "steps" if self.plan.save_steps else "epoch"
        return "best" if better else ""

    def _save(self, reason: str) -> None:
        """Write a checkpoint (rank 0 alone), then delete what is no longer needed."""
        progress, setup = self.progress, self.setup
        self.saved_step = progress.step
        if not setup.accelerator.is_main_process:
            return
        setup.run.set_state(phase="saving")
        began = time.perf_counter()
        state = {**progress.to_json(), "epoch": self.plan.epoch(progress.step)}
        state["scaler"] = self.learner.scaler.state_dict() if self.learner.scaler is not None else None
        tensors = {
            WEIGHTS: cast("dict[str, Tensor]", setup.method.trainable_state(self.learner.model)),
            OPTIMIZER: optimizer_tensors(self.learner.optimizer, self.learner.model),
        }
        setup.run.sync()  # a run that goes on from here never writes the curve up to here again
        path = save_checkpoint(setup.run.path, progress.step, tensors, state, self.identity)
        setup.run.emit(
            "checkpoint",
            step=progress.step,
            path=str(path.relative_to(setup.run.path)),
            bytes=sum(file.stat().st_size for file in path.iterdir()),
            seconds=time.perf_counter() - began,
            reason=reason,
        )
        if self.consumption is not None:
            self.consumption.tell(progress.step)
        rotate(setup.run.path, setup.recipe.training.save_total_limit, progress.best_step)
        setup.run.set_state(phase="training")

    def _requests(self) -> list[str]:
        """Return what rank 0 is asked to do, agreed by all processes."""
        asked = self.writer.requests()
        flags = sum_over_ranks(self.setup.accelerator, [float(name in asked) for name in REQUESTS])
        return [name for name, flag in zip(REQUESTS, flags, strict=True) if flag]

    def _obey(self, request: str) -> None:
        """Carry out a request; raises InterruptedRun for stop and pause."""
        step = self.progress.step
        if self.saved_step != step:
            self._save(request)
        self.writer.clear_request(request)
        if request != "checkpoint":
            raise interrupted(request, step)


class EvaluationWatch:
    """Called before each batch of an evaluation: says how far it is, and raises Asked on a request to stop or pause."""

    def __init__(self, run: RunWriter) -> None:
        self._run = run
        self._began = self._said = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the evaluation began."""
        return time.monotonic() - self._began

    def __call__(self, done: int, total: int) -> None:
        check_requests(self._run)
        if time.monotonic() - self._said >= _PROGRESS_SECONDS:
            self._said = time.monotonic()
            self._run.progress("evaluating", done, total, "examples")


def check_requests(run: RunWriter) -> None:
    """Raise Asked when the run is asked to stop or pause."""
    asked = run.requests()
    for request in ("stop", "pause"):
        if request in asked:
            raise Asked(request)


def interrupted(request: str, step: int) -> InterruptedRun:
    """Return the error that says a request was obeyed; after its state was saved."""
    done = "paused" if request == "pause" else "stopped"
    return InterruptedRun(f"{done} at step {step}, on request")
