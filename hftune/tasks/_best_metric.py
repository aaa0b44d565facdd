"""The metric that chooses the best model: can it be computed on these data?"""

from __future__ import annotations

from collections.abc import Sequence

from hftune.errors import Problem, RecipeError
from hftune.recipe.schema import TrainingSection


def require_metric(training: TrainingSection, reported: Sequence[str]) -> None:
    """Raise RecipeError when `metric_for_best_model` is another than those `reported`: an epoch later is too late."""
    wanted = training.metric_for_best_model
    if wanted is not None and wanted not in reported:
        hint = f"There are: {', '.join(reported)}."
        message = f"no {wanted} is reported for these data"
        raise RecipeError([Problem("training.metric_for_best_model", message, hint)])
