"""The parity gate: a compressed model beside its parent, over the same held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hftune.errors import RunError
from hftune.figures import figure
from hftune.inference import statistics
from hftune.inference.predictor import Predictor
from hftune.inference.row_answers import DocumentAnswers, LabelAnswers, answer_rows
from hftune.inference.scoring import load_rows
from hftune.inference.sizes import base_bytes, model_bytes
from hftune.inference.statistics import Interval
from hftune.recipe.load import load_recipe
from hftune.runs import layout
from hftune.runs.compression import Comparison
from hftune.runs.reader import short_name
from hftune.tasks.text_classification import HEADLINE, METRICS

if TYPE_CHECKING:
    from datasets import Dataset

Note = Callable[[str], None]
Answers = LabelAnswers | DocumentAnswers
LANGUAGE_METRIC = "perplexity"


@dataclass(frozen=True)
class Answered:
    """What a run's model answers to the rows of a split, how it was made smaller (empty: not), and its weights."""

    run: Path
    method: str
    split: str
    answers: Answers
    parameters: int
    bytes: int


def require(found: Comparison, max_loss: float, run: Path) -> None:
    """Raise RunError when a compressed run's model lost more than `max_loss`."""
    lost = found.loss["value"]
    if lost is not None and lost <= max_loss:
        return
    allowed = f"{100 * max_loss:g}" + ("%" if found.relative else " points")
    raise RunError(
        f"it is too much worse than its parent on {found.split}: {found.metric} {figure(found.value['value'])} against "
        f"{figure(found.parent_value['value'])}, {found.tell_loss()}; compress.max_loss allows {allowed}",
        hint=f"The model is there all the same: `hftune evaluate {short_name(run)}`. Compress less, or keep it: "
        f"`hftune resume {short_name(run)} --allow-inexact -s compress.max_loss=…`.",
    )


def compare(run: Path, parent: Path, note: Note, device: str = "auto") -> Comparison:
    """Return how a finished run's model does beside its parent's, both asked as `hftune evaluate` asks them.

    On the test split where there is one, else validation. Raises what loading the two and reading the rows raises.
    """
    own, theirs = Predictor.load(run, None, device), Predictor.load(parent, None, device)
    name, rows = load_rows(own, None, None, note)
    note(f"comparing with {parent.name} on {name}")
    # Both read the rows as the new run does: it may be told to cut or window them otherwise.
    theirs = Predictor(replace(theirs.loaded, recipe=own.loaded.recipe))
    return beside(answered(own, name, rows), answered(theirs, name, rows))


def answered(predictor: Predictor, split: str, rows: Dataset) -> Answered:
    """Return what a model answers to the rows of a split, as `hftune evaluate` asks them."""
    parameters, recipe = int(predictor.describe()["parameters"]), predictor.loaded.recipe
    method = recipe.compress.name if recipe.compress is not None else ""
    answers = answer_rows(predictor, split, rows)
    return Answered(predictor.loaded.path, method, split, answers, parameters, whole_bytes(predictor))


def beside(own: Answered, theirs: Answered) -> Comparison:
    """Return how a model does beside its parent; raises RunError when they answer different rows."""
    ours, expected, run, parent = own.answers, theirs.answers, own.run, theirs.run
    if ours.numbers != expected.numbers:
        raise RunError(f"{run.name} and {parent.name} do not answer the same rows of {own.split}")
    metric, greater = _metric(ours)
    value, drawn = _resampled(ours, metric)
    parent_value, parent_drawn = _resampled(expected, metric)
    return Comparison(
        method=own.method,
        parent=parent.name,
        split=own.split,
        rows=len(ours.numbers),
        metric=metric,
        value=statistics.percentiles(value, drawn).to_dict(),
        parent_value=statistics.percentiles(parent_value, parent_drawn).to_dict(),
        loss=_loss(value, drawn, parent_value, parent_drawn, greater).to_dict(),
        relative=not greater,
        agreement=None if (same := agreement(ours, expected)) is None else same.to_dict(),
        p_value=_p_value(ours, expected),
        bytes=own.bytes,
        parent_bytes=theirs.bytes,
        parameters=own.parameters,
        parent_parameters=theirs.parameters,
    )


def whole_bytes(predictor: Predictor) -> int:
    """Return the size of a run's model/ on disk, of an adapter with the base that it stands on."""
    run = predictor.loaded.path
    return model_bytes(run) + base_bytes(load_recipe(run / layout.RECIPE), run)


def agreement(ours: Answers, theirs: Answers) -> Interval | None:
    """Return the share of rows with the same answer (tokens, of language models), with its Wilson interval."""
    if isinstance(ours, DocumentAnswers) and isinstance(theirs, DocumentAnswers):
        if list(map(len, ours.guesses)) != list(map(len, theirs.guesses)):
            raise RunError("the two models do not read the same tokens of these rows, so they cannot be compared")
        pairs = zip(chain(*ours.guesses), chain(*theirs.guesses), strict=True)
        same = [one == other for one, other in pairs]
    elif isinstance(ours, LabelAnswers) and isinstance(theirs, LabelAnswers) and ours.right is not None:
        same = [bool(np.all(one == other)) for one, other in zip(ours.chosen, theirs.chosen, strict=True)]
    else:
        return None
    return statistics.share(sum(same), len(same))


def mcnemar(first: int, second: int) -> float:
    """Return the two-sided exact p-value of McNemar's test (1947): `first` rows are right in one model alone, `second`
    in the other; if both are equally good, each of them is as likely here as there."""
    rows = first + second
    if not rows:
        return 1.0
    least = min(first, second)
    log_choices = math.lgamma(rows + 1) - math.lgamma(least + 1) - math.lgamma(rows - least + 1)
    part = tail = math.exp(log_choices - rows * math.log(2))
    for k in range(least, 0, -1):  # C(n, k - 1) = C(n, k) · k / (n - k + 1)
        part *= k / (rows - k + 1)
        tail += part
    return min(1.0, 2.0 * tail)


def _metric(answers: Answers) -> tuple[str, bool]:
    """Return what quality is measured by, and whether greater is better."""
    if isinstance(answers, DocumentAnswers):
        return LANGUAGE_METRIC, False
    metric = HEADLINE[str(answers.kind)]
    return metric, METRICS[metric]


def _resampled(answers: Answers, metric: str) -> tuple[float, statistics.Array]:
    whole, drawn = statistics.resample(*answers.sums())
    return whole[metric], drawn[metric]


def _loss(
    value: float, drawn: statistics.Array, parent: float, parent_drawn: statistics.Array, greater: bool
) -> Interval:
    if greater:
        return statistics.percentiles(parent - value, parent_drawn - drawn)
    with np.errstate(divide="ignore", invalid="ignore"):
        return statistics.percentiles(value / parent - 1 if parent else math.nan, drawn / parent_drawn - 1)


def _p_value(ours: Answers, theirs: Answers) -> float | None:
    if isinstance(ours, DocumentAnswers) or isinstance(theirs, DocumentAnswers):
        return None
    if ours.right is None or theirs.right is None:
        return None
    return mcnemar(int((ours.right & ~theirs.right).sum()), int((theirs.right & ~ours.right).sum()))


__all__ = ["agreement", "compare", "mcnemar", "require", "whole_bytes"]
