"""`learning_rate: auto`: a range test before the first step, whose choice becomes the run's recipe.

The choice is written into recipe.yaml before anything is trained by it: whoever takes the run up again (or runs its
recipe elsewhere) reads a number, searches nothing and gets the same bits. Killed before that, the run searches again,
on the same weights and batches: the same steps, the same choice.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from hftune.errors import Problem, RecipeError
from hftune.output import finite
from hftune.recipe.load import dump_recipe
from hftune.recipe.validate import with_training
from hftune.runs import layout
from hftune.runs.files import write_atomic
from hftune.training.collective import sum_over_ranks
from hftune.training.fit import REQUESTS, Asked
from hftune.training.lr_curve import STEPS, rate_name
from hftune.training.lr_find import Choice, choose_rate, outside_the_usual
from hftune.training.resume import Start
from hftune.training.step import Setup

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SAID_SECONDS = 1.0


def settle_learning_rate(setup: Setup, model: PreTrainedModel, start: Start) -> Setup:
    """Return the setup with a number for the rate, found on `model` (left as it was) and written into recipe.yaml.

    Raises RecipeError when the run has been trained already, HftuneError when no loss is finite, Asked on a request
    to stop or pause.
    """
    run = setup.run
    if start.checkpoint is not None:
        message = f"a rate is looked for before training, and this run has a checkpoint ({start.checkpoint.name})"
        raise RecipeError([Problem("training.learning_rate", message, "Give a number.")])
    run.set_state(phase="preparing")
    run.emit("phase", phase="preparing", detail="looking for a learning rate")
    choice = choose_rate(setup, model, _Watch(setup))
    recipe = with_training(setup.recipe, learning_rate=choice.rate)
    if setup.accelerator.is_main_process:
        write_atomic(run.path / layout.RECIPE, dump_recipe(recipe))
    _tell(setup, choice)
    return replace(setup, recipe=recipe, plan=replace(setup.plan, peak_learning_rate=choice.rate))


class _Watch:
    """Called after each step of the test: says how far it is, and raises Asked on a request, agreed by all ranks."""

    def __init__(self, setup: Setup) -> None:
        self._setup, self._said = setup, time.monotonic()

    def __call__(self, share: float) -> None:
        run = self._setup.run
        asked = run.requests()
        wanted = [name for name in REQUESTS if name != "checkpoint"]
        flags = sum_over_ranks(self._setup.accelerator, [float(name in asked) for name in wanted])
        for name, flag in zip(wanted, flags, strict=True):
            if flag:
                raise Asked(name)
        if time.monotonic() - self._said >= _SAID_SECONDS:
            self._said = time.monotonic()
            run.progress("preparing", round(STEPS * share), STEPS, "steps of the range test")


def _tell(setup: Setup, choice: Choice) -> None:
    run, curve = setup.run, choice.curve
    run.emit(
        "lr_find",
        learning_rate=choice.rate,
        candidates=choice.candidates,
        rates=curve.rates,
        losses=finite(curve.losses),
        average_rates=curve.average_rates,
        averages=finite(curve.averages),
        diverged_at=curve.diverged_at,
    )
    name, steps = rate_name(choice.rate), len(curve.rates)
    again = "`hftune lr-find` on the recipe compares rates in short runs."
    if choice.candidates:
        listed = ", ".join(f"{rule} {rate:.2g}" for rule, rate in choice.candidates.items())
        message = f"learning_rate: auto is {name}, the middle of what a range test of {steps} steps says ({listed})"
        run.alert("info", "auto-learning-rate", message)
    else:
        message = f"learning_rate: auto found no rate that lowers the loss in {steps} steps: the method's own, {name}"
        run.alert("warning", "auto-learning-rate", message, again)
    if warning := outside_the_usual(setup, choice.rate):
        run.alert("warning", "unusual-learning-rate", warning, again)
