"""Learning from a parent's answers: a task whose loss is in part how far the student's answers are from its parent's.

For logits z of the student and t of the parent (Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network,
2015, section 2), of each row:

    hard_weight · loss(z, label) + (1 − hard_weight) · T² · KL(softmax(t / T) ‖ softmax(z / T))

Several labels have a sigmoid each in the place of the softmax, numbers the squared difference of the two; a language
model has one KL for each learned token. T² keeps the gradients' size whatever the temperature is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import kl_div, log_softmax, logsigmoid

from hftune.compressors import LearningOptions
from hftune.modeling.loading import without_cache
from hftune.modeling.output_layer import only_at
from hftune.recipe.schema import Recipe
from hftune.tasks import Batch, MetricStream, Prepared, Task
from hftune.tasks._answers import NEGATIVE_LABEL, class_logits, negative_label, problem_type
from hftune.tasks._labels import MULTI, REGRESSION
from hftune.tasks._streams import next_tokens
from hftune.training.evaluation import MODEL_INPUTS
from hftune.training.precision import choose_precision

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

NO_LABEL = -100  # in the place of a class: the row is learned from the parent's answer alone


class SoftTargets:
    """A task whose loss has the parent's answers in it; figures and all else are the task's own."""

    def __init__(self, task: Task, teacher: PreTrainedModel, options: LearningOptions) -> None:
        """`teacher`: frozen, on the device that the student trains on; it reads the student's own token ids."""
        self._task, self._teacher, self._options = task, teacher, options
        self.Config, self.METRICS, self.DEFAULT_METRIC = task.Config, task.METRICS, task.DEFAULT_METRIC

    def prepare(
        self,
        recipe: Recipe,
        splits: Mapping[str, Dataset],
        tokenizer: PreTrainedTokenizerBase,
        base_config: PretrainedConfig,
    ) -> Prepared:
        """Tokenize as the task does."""
        return self._task.prepare(recipe, splits, tokenizer, base_config)

    def load_model(self, recipe: Recipe, folder: Path | None, prepared: Prepared) -> PreTrainedModel:
        """Return the task's model."""
        return self._task.load_model(recipe, folder, prepared)

    def metric_stream(self, recipe: Recipe, prepared: Prepared) -> MetricStream:
        """Return the task's figures: held-out loss is that of the labels."""
        return self._task.metric_stream(recipe, prepared)

    def weight(self, recipe: Recipe, prepared: Prepared, batch: Batch) -> torch.Tensor:
        """Return the task's weight of rows that have labels, and what as many equal ones weigh of those without."""
        labels, labelled = batch["labels"], _labelled(recipe, batch)
        if labelled is None:
            return self._task.weight(recipe, prepared, batch)
        without = torch.tensor(float(labels[~labelled].numel()), device=labels.device)
        if not labelled.any():
            return without
        return without + self._task.weight(recipe, prepared, {"labels": labels[labelled]})

    def loss(self, recipe: Recipe, prepared: Prepared, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the loss summed over the batch, fp32, to be divided by `weight`; logits as the task has them."""
        labels, labelled, hard_weight = batch["labels"], _labelled(recipe, batch), self._options.hard_weight
        if labelled is None and hard_weight == 1:
            return self._task.loss(recipe, prepared, logits, batch)  # the parent is not asked
        loss = (1 - hard_weight) * self._soft(recipe, prepared, logits, batch)
        if hard_weight == 0 or (labelled is not None and not labelled.any()):
            return loss
        if labelled is not None:
            logits, batch = logits[labelled], {"labels": labels[labelled]}
        return loss + hard_weight * self._task.loss(recipe, prepared, logits, batch)

    def _soft(self, recipe: Recipe, prepared: Prepared, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the difference from the parent's answers, summed over rows, labels or tokens."""
        theirs = self._asked(recipe, batch)
        if recipe.task.name != "text-classification":
            return self._divergence(*_learned(recipe, logits, theirs, batch)).sum()
        config = self._teacher.config
        kind, logits, theirs = problem_type(config), logits.float(), theirs.float()
        if kind == REGRESSION:
            return ((logits - theirs) ** 2).sum()
        if kind == MULTI:
            return self._binary_divergence(logits, theirs).sum()
        logits = class_logits(logits, prepared.model_config.get(NEGATIVE_LABEL))
        found = self._divergence(logits, class_logits(theirs, negative_label(config)))
        return (found * _row_weights(prepared, batch["labels"])).sum()

    def _asked(self, recipe: Recipe, batch: Batch) -> torch.Tensor:
        """Return the parent's logits for a batch."""
        teacher = self._teacher
        inputs = {name: batch[name] for name in MODEL_INPUTS if name in batch}
        precision = choose_precision(recipe.training.precision, batch["input_ids"].device)
        with torch.no_grad(), precision.autocast(), only_at(teacher, batch.get("guessed")):
            found: torch.Tensor = teacher(**inputs, **without_cache(teacher)).logits
        return found

    def _divergence(self, logits: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        """Return T² · KL(parent ‖ student) of softmaxes [rows], of logits [rows, classes]."""
        temperature = self._options.temperature
        ours, targets = log_softmax(logits / temperature, -1), log_softmax(theirs / temperature, -1)
        return temperature**2 * kl_div(ours, targets, reduction="none", log_target=True).sum(-1)

    def _binary_divergence(self, logits: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        """Return T² · KL(parent ‖ student) of a sigmoid each [rows, labels]."""
        ours, targets = logits / self._options.temperature, theirs / self._options.temperature
        share = targets.sigmoid()
        yes = share * (logsigmoid(targets) - logsigmoid(ours))
        no = (1 - share) * (logsigmoid(-targets) - logsigmoid(-ours))
        return self._options.temperature**2 * (yes + no)


def _row_weights(prepared: Prepared, labels: torch.Tensor) -> torch.Tensor:
    """Return what each row counts [rows]: the weight of its class, as in the labels' loss; 1 without a label."""
    table = torch.ones(1, device=labels.device)
    if (weights := prepared.model_config.get("class_weights")) is not None:
        table = torch.tensor(weights, dtype=torch.float32, device=labels.device)
    places = labels.clamp(min=0, max=len(table) - 1)
    return torch.where(labels == NO_LABEL, 1.0, table[places])


def _learned(
    recipe: Recipe, logits: torch.Tensor, theirs: torch.Tensor, batch: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both models' logits [tokens, vocabulary] fp32, of the learned tokens alone."""
    targets = batch["labels"]
    if recipe.task.name == "text-generation":
        theirs, _ = next_tokens(theirs, targets)
        logits, targets = next_tokens(logits, targets)
    chosen = targets != NO_LABEL
    return logits[chosen].float(), theirs[chosen].float()


def _labelled(recipe: Recipe, batch: Batch) -> torch.Tensor | None:
    """Return which rows have a label [rows] bool; None where all have, as in tasks whose labels are the texts'."""
    labels = batch["labels"]
    if recipe.task.name != "text-classification":
        return None
    found = ~labels.isnan() if labels.is_floating_point() else labels != NO_LABEL
    found = found.all(dim=1) if found.dim() > 1 else found
    return None if bool(found.all()) else found
