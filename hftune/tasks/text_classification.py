"""Text classification: one label, several labels, or a number for each text or pair of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from hftune.errors import Problem, RecipeError
from hftune.recipe.schema import PluginConfig, Recipe
from hftune.tasks import Batch, MetricStream, Prepared
from hftune.tasks._answers import NEGATIVE_LABEL, class_logits
from hftune.tasks._labels import MULTI, REGRESSION, SINGLE, LabelSpace, ProblemType

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

METRICS: Mapping[str, bool] = {
    "loss": False,
    "accuracy": True,
    "f1": True,
    "f1_micro": True,
    "precision": True,
    "recall": True,
    "matthews_correlation": True,
    "exact_match": True,
    "mse": False,
    "mae": False,
    "pearson": True,
    "spearman": True,
}
# What every problem type reports; a recipe that wants another names it in training.metric_for_best_model.
DEFAULT_METRIC = "loss"
PROBLEM_METRICS: Mapping[str, tuple[str, ...]] = {
    SINGLE: ("accuracy", "f1", "precision", "recall", "matthews_correlation"),
    MULTI: ("f1", "f1_micro", "precision", "recall", "exact_match"),
    REGRESSION: ("mse", "mae", "pearson", "spearman"),
}

# What people ask first of each kind of problem.
HEADLINE: Mapping[str, str] = {SINGLE: "accuracy", MULTI: "f1_micro", REGRESSION: "mse"}


class Config(PluginConfig):
    """What kind of answer a text gets, and how mistakes are weighed."""

    problem_type: ProblemType | None = Field(
        None, description="left out: a list of labels is multi-label, a float regression, anything else single-label"
    )
    class_weights: Literal["balanced"] | Mapping[str, Annotated[float, Field(ge=0)]] | None = Field(
        None,
        description="weight of each label's mistakes, by name; balanced: rare labels count as much as frequent ones",
    )
    loss: Literal["mse", "mae"] = Field("mse", description="regression: squared error, or absolute error")
    one_output: bool = Field(
        False,
        description="two classes told apart by one sigmoid (a Dense(1, sigmoid)), the probability of the second of "
        "data.label_names, and not by a softmax over two outputs",
    )

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """One sigmoid is for classes that exclude each other."""
        if given.get("one_output") is True and given.get("problem_type") not in (None, SINGLE):
            yield "one_output", f"one sigmoid tells two classes apart: it goes with {SINGLE} alone"


def prepare(
    recipe: Recipe,
    splits: Mapping[str, Dataset],
    tokenizer: PreTrainedTokenizerBase,
    base_config: PretrainedConfig,
) -> Prepared:
    """Tokenize every split and turn labels into targets.

    Without a train split (a trained model meets new data) the labels are those of `base_config`. Columns of the
    prepared splits: input_ids, length, row, window, labels (int; list of 0.0/1.0; float), token_type_ids where the
    tokenizer gives them. Raises DataError for an empty split or an unknown label, RecipeError for missing columns,
    class weights that name no label, a metric of another problem type, and one without a validation split.
    """
    from hftune.data.columns import require_columns
    from hftune.tasks import _encoding, _rows
    from hftune.tasks._best_metric import require_metric
    from hftune.tasks._label_space import label_space
    from hftune.tasks._labels import targets

    config, data = recipe.task.settings(Config), recipe.data
    pair = [data.text_pair] if data.text_pair else []
    for split, dataset in splits.items():
        require_columns(dataset, data, ["text", "text_pair", "label"], f"the {split} split")
    usable, row_notices = _rows.usable_rows(data, splits)
    wanted = config.problem_type or (SINGLE if config.one_output else None)
    space, label_notices = label_space(wanted, data, splits, usable, base_config)
    require_metric(recipe.training, ("loss", *PROBLEM_METRICS[space.problem_type]), splits)
    max_length, limit_notices = _encoding.token_limit(data, base_config, tokenizer)

    encoded: dict[str, _encoding.Encoded] = {}
    prepared: dict[str, Dataset] = {}
    train_targets: list[Any] = []
    for split, dataset in splits.items():
        rows, values = usable[split]
        by_row = dict(zip(rows, targets(values, rows, space, split), strict=True))
        if split == "train":
            train_targets = list(by_row.values())
        texts, *pairs = (_rows.text_column(dataset, column, rows, split) for column in [data.text, *pair])
        encoded[split] = _encoding.encode(tokenizer, texts, pairs[0] if pairs else None, data, max_length, rows)
        prepared[split] = _encoding.to_dataset(
            [{**example, "labels": by_row[example["row"]]} for example in encoded[split].examples]
        )
    sizes = {split: len(rows) for split, (rows, _) in usable.items()}
    length_notices = _encoding.length_notices(encoded, sizes, data, max_length)
    texts_by_split = {split: _rows.keys(dataset, [data.text, *pair]) for split, dataset in splits.items()}
    held_out_notices = _rows.held_out_notices(texts_by_split)
    return Prepared(
        splits=prepared,
        tokenizer=tokenizer,
        collate=_encoding.padded_batch(tokenizer, "int64" if space.problem_type == SINGLE else "float32"),
        model_config=_model_config(config, space, train_targets, tokenizer, base_config),
        notices=(*row_notices, *label_notices, *limit_notices, *length_notices, *held_out_notices),
    )


def load_model(recipe: Recipe, folder: Path | None, prepared: Prepared) -> PreTrainedModel:
    """Return the model in fp32 with a classification head; a new head is drawn from torch's global generator."""
    from transformers import AutoModelForSequenceClassification

    from hftune.modeling.loading import load_model as load

    return load(AutoModelForSequenceClassification, recipe.model, folder, prepared.tokenizer, prepared.model_config)


def weight(recipe: Recipe, prepared: Prepared, batch: Batch) -> torch.Tensor:
    """Return what the summed loss is divided by: examples (their class weights when given), or examples x labels."""
    import torch

    labels = batch["labels"]
    class_weights = _class_weights(prepared, labels.device)
    if _problem_type(prepared) == SINGLE and class_weights is not None:
        return class_weights[labels].sum()
    return torch.tensor(float(labels.numel()), device=labels.device)


def loss(recipe: Recipe, prepared: Prepared, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the loss summed over the batch, fp32; `logits` [batch, labels].

    Single label: `CrossEntropyLoss(weight, label_smoothing)`, which for one sigmoid is binary cross-entropy.
    Multi-label: `BCEWithLogitsLoss(pos_weight)`, each 0/1 target moved by half the smoothing factor towards 0.5.
    Regression: squared or absolute error.
    """
    from torch.nn import functional

    logits, labels = _as_classes(prepared, logits.float()), batch["labels"]
    class_weights = _class_weights(prepared, logits.device)
    smoothing = recipe.training.label_smoothing_factor
    problem_type = _problem_type(prepared)
    if problem_type == SINGLE:
        return functional.cross_entropy(
            logits, labels, weight=class_weights, label_smoothing=smoothing, reduction="sum"
        )
    labels = labels.float()
    if problem_type == MULTI:
        labels = labels * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=class_weights, reduction="sum")
    error = functional.l1_loss if recipe.task.settings(Config).loss == "mae" else functional.mse_loss
    return error(logits.squeeze(-1), labels, reduction="sum")


def metric_stream(recipe: Recipe, prepared: Prepared) -> MetricStream:
    """Return fresh figures: loss and those of the problem type; windows of a document count as one answer."""
    from hftune.tasks._streams import ClassificationStream

    pooling = recipe.data.window.pooling if recipe.data.too_long == "window" else None

    def total_loss(logits: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return loss(recipe, prepared, logits, batch), weight(recipe, prepared, batch)

    problem_type = _problem_type(prepared)
    as_classes = partial(_as_classes, prepared)
    return ClassificationStream(problem_type, PROBLEM_METRICS[problem_type], total_loss, as_classes, pooling)


def _model_config(
    config: Config,
    space: LabelSpace,
    train_targets: Sequence[Any],
    tokenizer: PreTrainedTokenizerBase,
    base_config: PretrainedConfig,
) -> dict[str, Any]:
    from hftune.tasks._labels import class_weights

    weights = getattr(base_config, "class_weights", None)
    if train_targets or config.class_weights != "balanced":
        weights = class_weights(config.class_weights, space, train_targets)
    fields: dict[str, Any] = {
        "num_labels": len(space.names),
        "id2label": dict(enumerate(space.names)),
        "label2id": space.index,
        "problem_type": space.problem_type,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if getattr(base_config, NEGATIVE_LABEL, None) is not None:
        fields[NEGATIVE_LABEL] = None  # of a base with one sigmoid, which this model may not have
    if config.one_output:
        fields |= _one_output(space)
    return {**fields, "class_weights": weights} if weights is not None else fields


def _one_output(space: LabelSpace) -> dict[str, Any]:
    """Return the fields of a model with one sigmoid: what transformers calls multi-label with one label."""
    if len(space.names) != 2:
        message = f"one sigmoid tells two classes apart, and there are {len(space.names)}: {', '.join(space.names)}"
        raise RecipeError([Problem("task.one_output", message, "Leave it out.")])
    negative, positive = space.names
    fields = {"num_labels": 1, "id2label": {0: positive}, "label2id": {positive: 0}, "problem_type": MULTI}
    return {**fields, NEGATIVE_LABEL: negative}


def _problem_type(prepared: Prepared) -> str:
    one_output = prepared.model_config.get(NEGATIVE_LABEL) is not None
    return SINGLE if one_output else str(prepared.model_config["problem_type"])


def _as_classes(prepared: Prepared, logits: torch.Tensor) -> torch.Tensor:
    return class_logits(logits, prepared.model_config.get(NEGATIVE_LABEL))


def _class_weights(prepared: Prepared, device: torch.device) -> torch.Tensor | None:
    import torch

    weights = prepared.model_config.get("class_weights")
    return None if weights is None else torch.tensor(weights, dtype=torch.float32, device=device)


__all__ = ["DEFAULT_METRIC", "METRICS", "Config", "load_model", "loss", "metric_stream", "prepare", "weight"]
