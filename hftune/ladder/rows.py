"""What every rung is fitted on and judged by: the same texts and targets, the same figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hftune import tasks
from hftune.data.columns import require_columns
from hftune.data.fingerprint import fingerprint
from hftune.data.load import load_splits
from hftune.errors import DataError, closest
from hftune.inference import statistics
from hftune.inference.comparison import Scores, mean_draws
from hftune.inference.row_answers import row_losses
from hftune.inference.statistics import Array
from hftune.recipe.schema import Recipe
from hftune.tasks import Prepared
from hftune.tasks._label_space import label_space
from hftune.tasks._labels import MULTI, REGRESSION, SINGLE, ProblemType, class_weights, targets
from hftune.tasks._rows import text_column, usable_rows
from hftune.tasks.text_classification import HEADLINE, METRICS, PROBLEM_METRICS, Config

if TYPE_CHECKING:
    from datasets import Dataset

SPLITS = ("train", "validation", "test")
# Chinese and Japanese do not part words by spaces; English has one in about six characters.
SPACES_OF_WORDS = 1 / 20


@dataclass(frozen=True)
class Rows:
    """Labelled texts by split, in the order of the rows.

    `targets`: class numbers [rows] int64, 0/1 [rows, labels] float64, or numbers [rows] float64. `class_weights`: one
    weight a label, None for equal ones. `fingerprint` is of all data as they were loaded.
    """

    recipe: Recipe
    splits: dict[str, Dataset]
    texts: dict[str, list[str]]
    targets: dict[str, Array]
    kind: ProblemType
    names: tuple[str, ...]
    class_weights: list[float] | None
    fingerprint: str

    def count(self, split: str) -> int:
        """Return how many rows of a split are judged."""
        return len(self.targets[split])

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for a row: a logit for each label, or the number."""
        return 1 if self.kind == REGRESSION else len(self.names)

    @property
    def has_words(self) -> bool:
        """Whether spaces part the words of train's texts; else a word is no unit, and characters have to do."""
        texts = self.texts["train"]
        return sum(text.count(" ") for text in texts) >= SPACES_OF_WORDS * sum(map(len, texts))

    def sums(self, split: str, logits: Array) -> statistics.Sums:
        """Return what `statistics.resample` takes for logits [rows, outputs] of a split."""
        references = self.targets[split]
        loss, weight = row_losses(self._task, self.recipe, self._judged, self.kind, logits, references)
        if self.kind == REGRESSION:
            return statistics.regression_sums(references, logits[:, 0], loss, weight)
        if self.kind == MULTI:
            return statistics.multi_label_sums(references.astype(int), (logits > 0).astype(int), loss, weight)
        return statistics.single_label_sums(references, logits.argmax(axis=1), len(self.names), loss, weight)

    def figures(self, split: str, logits: Array) -> dict[str, float]:
        """Return every figure of the problem type over a split, NaN for what cannot be told."""
        features, of_sums = self.sums(split, logits)
        return {name: float(_known(name, value)) for name, value in of_sums(features.sum(axis=0)).items()}

    def scores(self, metric: str, logits: list[Array]) -> Scores:
        """Return one metric on test of models that differ by their seed, given the logits [rows, outputs] of each."""
        values, draws = [], []
        for each in logits:
            whole, drawn = statistics.resample(*self.sums("test", each))
            values.append(float(_known(metric, whole[metric])))
            draws.append(_known(metric, drawn[metric]))
        return Scores(tuple(values), mean_draws(draws))

    @property
    def _task(self) -> Any:
        return tasks.registry.load(self.recipe.task.name)

    @cached_property
    def _judged(self) -> Prepared:
        # All that the task's loss reads; logits are those of classes also where a model has one sigmoid.
        config: dict[str, Any] = {"problem_type": self.kind}
        if self.class_weights is not None:
            config["class_weights"] = self.class_weights
        return Prepared(splits={}, tokenizer=None, collate=lambda examples: {}, model_config=config)


def load_rows(recipe: Recipe, note: Callable[[str], None]) -> Rows:
    """Return the rows of a recipe's data; raises DataError when a split is missing or there is nothing to learn."""
    from transformers import PretrainedConfig

    data, config = recipe.data, recipe.task.settings(Config)
    splits = load_splits(data, note)
    for split in SPLITS:
        if split not in splits:
            what = "to choose on" if split == "validation" else "to be judged by"
            raise DataError(f"a ladder needs a {split} split {what}", hint=_how_to_get(split), key="data")
        require_columns(splits[split], data, ["text", "label"], f"the {split} split")
    usable, _ = usable_rows(data, splits)
    wanted = config.problem_type or (SINGLE if config.one_output else None)
    space, _ = label_space(wanted, data, splits, usable, PretrainedConfig())
    found: dict[str, Array] = {}
    texts: dict[str, list[str]] = {}
    for split in SPLITS:
        rows, values = usable[split]
        found[split] = np.array(targets(values, rows, space, split))
        texts[split] = text_column(splits[split], data.text, rows, split)
    if space.problem_type != REGRESSION and len(np.unique(found["train"], axis=0)) < 2:
        raise DataError("every train text has the same label: a ladder has nothing to compare", key="data.label")
    weights = class_weights(config.class_weights, space, found["train"].tolist())
    return Rows(recipe, splits, texts, found, space.problem_type, space.names, weights, fingerprint(splits))


def choose_metric(wanted: str | None, rows: Rows) -> tuple[str, bool]:
    """Return the metric that the ladder is about and whether greater is better; raises DataError for one there is not.

    Left out: the recipe's metric_for_best_model, else what people ask first of such a problem.
    """
    known = ("loss", *PROBLEM_METRICS[rows.kind])
    metric = wanted or rows.recipe.training.metric_for_best_model or HEADLINE[rows.kind]
    if metric not in known:
        raise DataError(f"{rows.kind} has no metric {metric!r}", hint=closest(metric, known))
    return metric, METRICS[metric]


def _known(metric: str, values: Any) -> Array:
    """Return values of a metric with 0 for Matthews' of a model that always says the same, as scikit-learn has it."""
    return np.nan_to_num(values) if metric == "matthews_correlation" else np.asarray(values)


def _how_to_get(split: str) -> str:
    return f"Give a {split} split, or a share of train: data.{split}_share."
