"""Tasks: from columns to tensors, from outputs to losses and figures. One file a task, named by the Hub's pipeline tag.

A task plugin is a module. `prepare` looks at the data once and returns a `Prepared`, which holds all that training,
evaluation and prediction need to know of them; nothing else passes between data and training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hftune.recipe.schema import PluginConfig, Recipe
from hftune.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Batch = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class Notice:
    """Something a person should know about the data: `code` is stable, `level` is info, warning or error."""

    level: str
    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Prepared:
    """Data made ready for a model.

    `splits` maps train/validation/test to data sets with columns `input_ids` (list of int), `length` (int),
    whatever `collate` needs (`labels`, `attention_mask`, `token_type_ids` …) and `row` (int: the example in the
    split as it was loaded; several windows of one document share it). `model_config` are fields for the
    transformers config (num_labels, id2label, problem_type …). `tokenizer` is the one to save with the model
    (pad token, chat template set). `draw` gives a train example as one epoch sees it, where chance has a part in that
    (masks): a function of example, epoch and the recipe's seed, so that batches, processes and kills change nothing;
    what it is given and gives are the columns of one example.
    """

    splits: Mapping[str, Dataset]
    tokenizer: PreTrainedTokenizerBase
    collate: Callable[[Sequence[Mapping[str, Any]]], Batch]
    model_config: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()
    draw: Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None = None


class MetricStream(Protocol):
    """Figures over a split, fed batch by batch; logits are never kept."""

    def update(self, logits: torch.Tensor, batch: Batch) -> None:
        """Take in one batch: logits [batch, ...] of any float dtype and device, and the batch that made them."""

    def compute(self) -> dict[str, float]:
        """Return name -> value, `loss` always among them; the same whatever the batches were."""


class Task(Protocol):
    """A task plugin is a module with these names."""

    Config: type[PluginConfig]
    METRICS: Mapping[str, bool]  # every metric the task can report -> greater is better
    DEFAULT_METRIC: str  # what picks the best model when the recipe does not say

    def prepare(
        self,
        recipe: Recipe,
        splits: Mapping[str, Dataset],
        tokenizer: PreTrainedTokenizerBase,
        base_config: PretrainedConfig,
    ) -> Prepared:
        """Tokenize every split.

        Raises DataError (unknown label, empty split) naming what there is, and RecipeError for missing columns and for
        a training.metric_for_best_model that these data do not give.
        """

    def load_model(self, recipe: Recipe, folder: Path | None, prepared: Prepared) -> PreTrainedModel:
        """Return the model in fp32 with the task's head, from `folder` or from scratch (folder None)."""

    def weight(self, recipe: Recipe, prepared: Prepared, batch: Batch) -> torch.Tensor:
        """Return the scalar that the batch's summed loss is divided by: examples, target tokens, or class weights."""

    def loss(self, recipe: Recipe, prepared: Prepared, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the scalar loss *summed* over the batch, fp32; divided by `weight` over all micro-batches and
        ranks of a step it is the mean that plain transformers computes on the one large batch."""

    def metric_stream(self, recipe: Recipe, prepared: Prepared) -> MetricStream:
        """Return fresh figures for one split."""


registry: Registry[Task] = Registry("hftune.tasks", "task")
