"""Trials: short ordinary runs that confirm or refute what a range test suggests. Which rates, and by what recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hftune.recipe.schema import Choice, Recipe
from hftune.recipe.validate import with_training
from hftune.runs.layout import LONGEST_NAME
from hftune.training.lr_curve import rate_name, round_rate

if TYPE_CHECKING:
    from hftune.training.progress import Plan

CANDIDATES, MORE = 3, 2  # at first, and at most so many more where the best is at an end of those tried
EVALUATIONS = 5  # at most, so that a trial mostly trains
OWN, NEIGHBOUR, ONE_MORE = "own", "beside", "one more"
SMALL, LARGE = "ten times less", "ten times more"
_FACTOR = 10.0
_NO_BOUND = 1000.0


@dataclass(frozen=True)
class Trial:
    """A rate to try and why; `probe`: no candidate, but there to show what a bad one looks like."""

    rate: float
    reasons: tuple[str, ...]
    probe: bool = False

    @property
    def name(self) -> str:
        """The rate as recipes write it."""
        return rate_name(self.rate)

    @property
    def in_question(self) -> bool:
        """Whether it is one of the first candidates, without which the others are not to be compared."""
        return not self.probe and ONE_MORE not in self.reasons


def choose_trials(candidates: Mapping[str, float], own: float | None) -> list[Trial]:
    """Return the first trials, what is worth most first: candidates, then a decade above and a decade below them.

    Candidates are the rules' rates rounded to 1, 2, 5, and the recipe's own as it is. Those that fall together are one;
    neighbours fill up to three; of more than three the one that has another closest to it is left out.
    """
    reasons: dict[float, list[str]] = {}
    for rule, rate in candidates.items():
        reasons.setdefault(round_rate(rate), []).append(rule)
    if own is not None:
        reasons[own] = [OWN, *reasons.pop(round_rate(own), [])]
    while len(reasons) > CANDIDATES:
        del reasons[_most_crowded(sorted(reasons), own)]
    while reasons and len(reasons) < CANDIDATES:
        reasons[_filling(sorted(reasons))] = [NEIGHBOUR]
    rates = sorted(reasons)
    probes = [(rates[-1] * _FACTOR, LARGE), (rates[0] / _FACTOR, SMALL)] if rates else []
    return [
        *(Trial(rate, tuple(reasons[rate])) for rate in rates),
        *(Trial(round_rate(rate), (reason,), probe=True) for rate, reason in probes),
    ]


def one_more(trials: Sequence[Trial], best: float) -> Trial | None:
    """Return a trial beyond the candidates where the best is the last of them; None when it lies between two."""
    rates = sorted(trial.rate for trial in trials if not trial.probe)
    tried = {trial.rate for trial in trials}
    if best >= rates[-1]:
        wanted = next_rate(best, up=True)
    elif best <= rates[0]:
        wanted = next_rate(best, up=False)
    else:
        return None
    return None if wanted in tried else Trial(wanted, (ONE_MORE,))


def next_rate(rate: float, up: bool) -> float:
    """Return the next of 1, 2, 5 times a power of ten that is about a factor of two away."""
    return round_rate(rate * 2.2 if up else rate / 2.2)


def trial_recipe(recipe: Recipe, trial: Trial, plan: Plan, steps: int, rows: int) -> Recipe:
    """Return the recipe of a trial: the same but for rate and length, so that it differs from the others in its rate.

    Its schedule spans its own steps, with the same share of warm-up. Nothing ends it early, and what it
    makes smaller may lose anything against its parent. It is evaluated a few times
    on at most `rows` rows, and its name and description say what it is. `plan` is that of `recipe`.
    """
    steps = min(steps, plan.total_steps)
    training = recipe.training
    warmup = training.warmup_steps
    changed = with_training(
        recipe,
        learning_rate=trial.rate,
        max_steps=steps,
        warmup_steps=warmup if warmup < 1 else min(0.99, plan.warmup / plan.total_steps),
        eval_steps=max(training.eval_steps or plan.steps_per_epoch, math.ceil(steps / EVALUATIONS)),
        save_steps=steps,
        save_total_limit=1,
        logging_steps=min(training.logging_steps, max(1, steps // 10)),
        early_stopping_patience=None,
        target_loss=None,
    )
    suffix = f"-lr-{trial.name}"
    why = f"a trial of lr-find: {recipe.name} for {steps} steps at {trial.name} ({', '.join(trial.reasons)})"
    return changed.model_copy(
        update={
            "name": recipe.name[: LONGEST_NAME - len(suffix)] + suffix,
            "description": why,
            "data": capped(recipe, rows).data,
            "compress": None if recipe.compress is None else _unbounded(recipe.compress),
        }
    )


def _unbounded(compress: Choice) -> Choice:
    return Choice(name=compress.name, options={**compress.options, "max_loss": _NO_BOUND})


def capped(recipe: Recipe, rows: int) -> Recipe:
    """Return the recipe with at most so many rows in each held-out split, drawn as its own limit is."""
    limit = min(rows, recipe.data.max_eval_samples or rows)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"max_eval_samples": limit})})


def _filling(rates: Sequence[float]) -> float:
    """Return a rate between two that are far apart, else the next one beyond them: above one, below two."""
    between = round_rate(math.sqrt(rates[0] * rates[-1]))
    if rates[0] < between < rates[-1]:
        return between
    return next_rate(rates[-1], up=True) if len(rates) == 1 else next_rate(rates[0], up=False)


def _most_crowded(rates: Sequence[float], own: float | None) -> float:
    """Return the rate that has another one closest to it, by ratio; never the recipe's own."""

    def room(rate: float) -> float:
        return min(abs(math.log(rate / other)) for other in rates if other != rate)

    return min((rate for rate in rates if rate != own), key=room)
