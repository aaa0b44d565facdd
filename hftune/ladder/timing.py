"""How long the runs of a ladder will take, before they are started: a few real steps of each rung."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hftune import methods, tasks
from hftune.data.texts import Texts
from hftune.ladder.rows import Rows
from hftune.ladder.rungs import Trial
from hftune.modeling.loading import load_config
from hftune.modeling.resolve import resolve_model
from hftune.modeling.tokenizer import load_tokenizer
from hftune.preflight.estimate import measure
from hftune.recipe.schema import Recipe
from hftune.training.randomness import seed_initial_weights

BUDGET_SECONDS = 3.0  # of steps, for each rung


@dataclass(frozen=True)
class Duration:
    """Seconds of one run of a rung from loading to the finished model, about two standard errors, and its disk."""

    seconds: float
    error: float
    disk_bytes: int


def measure_rungs(trials: Sequence[Trial], rows: Rows, note: Callable[[str], None]) -> dict[str, Duration]:
    """Return the duration of a run by rung, measured on the first trial of each; raises what a run would raise."""
    first: dict[str, Recipe] = {}
    for trial in trials:
        if trial.recipe is not None:
            first.setdefault(trial.rung, trial.recipe)
    return {rung: _measure(recipe, rows, note) for rung, recipe in first.items()}


def left(trials: Sequence[Trial], durations: Mapping[str, Duration]) -> tuple[float, float]:
    """Return the seconds that trials will take and about two standard errors; errors of one rung's runs add up."""
    seconds = sum(durations[trial.rung].seconds for trial in trials if trial.rung in durations)
    error = sum((durations[rung].error * sum(trial.rung == rung for trial in trials)) ** 2 for rung in durations)
    return seconds, error**0.5


def _measure(recipe: Recipe, rows: Rows, note: Callable[[str], None]) -> Duration:
    """Train a throw-away copy for a few seconds; writes nothing."""
    began = time.perf_counter()
    task, method = tasks.registry.load(recipe.task.name), methods.registry.load(recipe.method.name)
    folder = resolve_model(recipe.model, note).folder if recipe.model.id else None
    tokenizer = load_tokenizer(recipe.model, folder, note, Texts(rows.splits["train"], recipe.data))
    config = load_config(recipe.model, folder, tokenizer)
    method.check(recipe.method.settings(method.Config), recipe.model, config, recipe.task.name)
    prepared = task.prepare(recipe, rows.splits, tokenizer, config)
    seed_initial_weights(recipe.training.seed)
    model = task.load_model(recipe, folder, prepared)
    model = method.adapt(model, recipe.method.settings(method.Config), recipe.model, recipe.task.name)
    loading = time.perf_counter() - began
    found = measure(recipe, prepared, model, BUDGET_SECONDS)
    del model
    gc.collect()  # models of several rungs at once could be more than the memory holds
    return Duration(found.seconds + loading, found.error_seconds, found.disk_bytes)
