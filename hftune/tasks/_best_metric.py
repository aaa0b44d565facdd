"""The metric that chooses the best model: can it be computed on these data?"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hftune.errors import Problem, RecipeError
from hftune.recipe.schema import TrainingSection
from hftune.recipe.validate import JUDGED_ON_VALIDATION, NO_VALIDATION


def require_metric(training: TrainingSection, reported: Sequence[str], splits: Collection[str]) -> None:
    """Raise RecipeError when the best model cannot be told: an epoch later is too late.

    `reported` are the metrics of these data, `splits` those to train and validate on.
    """
    problems: list[Problem] = []
    wanted = training.metric_for_best_model
    if wanted is not None and wanted not in reported:
        hint = f"There are: {', '.join(reported)}."
        problems.append(Problem("training.metric_for_best_model", f"no {wanted} is reported for these data", hint))
    if "train" in splits and "validation" not in splits:
        asked = [key for key in JUDGED_ON_VALIDATION if getattr(training, key) is not None]
        problems += [Problem(f"training.{key}", *NO_VALIDATION) for key in asked]
    if problems:
        raise RecipeError(problems)
