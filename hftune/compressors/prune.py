"""Pruning: what a network needs least is left out, and what is left learns for a while to do without.

Whole layers, neurons and heads (structured): the result is a smaller model of the same kind, faster on any machine.
Which, the task's own loss on train rows says (`_importance.py`). Recovery is from the parent's answers and the labels
(`_soft_targets.py`). Single weights (unstructured) are for study: zeros are stored and multiplied like other numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from hftune.compressors import Layers, LearningOptions, Note, Parent, Small
from hftune.errors import Problem, RecipeError
from hftune.recipe.schema import Positive, Recipe, Share

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hftune.compressors._importance import Sample
    from hftune.compressors._narrowing import Parts
    from hftune.tasks import Prepared, Task

Kept = Annotated[float, Field(gt=0, lt=1)]
# MiniLM on movie reviews: 1.9 times as fast, and an epoch later its validation loss is 0.334 (its parent's 0.326; 0.403
# without recovery). With a layer less as well it is 2.2 times as fast, and ends at 0.342.
DEFAULT_NEURONS = 0.25
# At the parent's rate, 1e-4, it ended lower than at half (0.340) and at twice of it (0.336).
RECOVERY = 1 / 3
# Processors multiply matrices in blocks: of a width that is no multiple of this the last block is mostly wasted.
BLOCK = 8


class Config(LearningOptions):
    """What is left out, and how the rest recovers."""

    layers: Positive | Layers | None = Field(
        None,
        description="how many layers are kept (those go first without which the loss is lowest), or which, from 0",
    )
    neurons: Kept | None = Field(
        None,
        description="share of each feed-forward block's neurons that is kept; left out, and nothing else either: 0.25",
    )
    heads: Kept | None = Field(
        None, description="share of the attention heads that is kept; Llama and its kin, whose config can say so"
    )
    sparsity: Share = Field(
        0.0,
        description="share of single weights set to zero, the smallest of all matrices but embeddings; for study: such "
        "a model is no faster and no smaller",
    )
    rows: Positive = Field(
        512, description="train rows, drawn with training.seed, on which is measured what parts are worth"
    )
    recover: bool = Field(True, description="train what is left; false: only cut")


def asked(config: Config) -> Config:
    """Return the options with what is pruned where nothing is named."""
    return config if _names_what(config) else config.model_copy(update={"neurons": DEFAULT_NEURONS})


def _names_what(config: Config) -> bool:
    return any((config.layers, config.neurons, config.heads, config.sparsity))


def learns(config: Config) -> bool:
    """Return whether what is left recovers."""
    return config.recover


def training(config: Config, parent: Recipe) -> Mapping[str, Any]:
    """Return a short training: a third of the parent's, an epoch at least; the loss that it ended at may stay away."""
    before = parent.training
    return {
        "num_train_epochs": max(1.0, before.num_train_epochs * RECOVERY),
        "max_steps": None if before.max_steps is None else max(1, round(before.max_steps * RECOVERY)),
        "warmup_steps": 0.06,
        "target_loss": None,
    }


def check(config: Config, recipe: Recipe, parent_config: PretrainedConfig) -> None:
    """Raise RecipeError, all problems at once, for what a model of this kind has none of, or too few to leave any out.

    Looks at a model without memory for its weights.
    """
    from hftune.compressors._narrowing import head_groups, neurons
    from hftune.compressors._surgery import without_weights

    wanted = asked(config)
    if wanted.layers is None and wanted.neurons is None and wanted.heads is None:
        return
    model = without_weights(recipe, parent_config)
    problems: list[Problem] = []
    for share, look in (
        (wanted.layers, lambda: _check_layers(wanted.layers, model)),
        (wanted.heads, lambda: _number(head_groups(model), wanted.heads)),
        (wanted.neurons, lambda: _number(neurons(model), wanted.neurons)),
    ):
        try:
            if share is not None:
                look()
        except RecipeError as error:
            problems += error.problems
    if problems and not _names_what(config):
        hint = "Say what is left out (compress.layers, compress.sparsity), or use the compressor distill or quantize."
        problems = [Problem("compress", problem.message, hint) for problem in problems]
    if problems:
        raise RecipeError(problems)


def make(recipe: Recipe, parent: Parent, task: Task, prepared: Prepared, note: Note) -> Small:
    """Return the parent without what it needs least, and the task of recovering from that."""
    from hftune.compressors._importance import Sample
    from hftune.compressors._narrowing import head_groups, neurons
    from hftune.compressors._soft_targets import SoftTargets

    assert recipe.compress is not None
    config = asked(recipe.compress.settings(Config))
    sample = Sample(recipe, task, prepared, config.rows)
    model = parent.model
    if config.layers is not None:
        model = _with_fewer_layers(model, config.layers, sample, note)
    if config.heads is not None:
        model = _narrower(model, head_groups(model), config.heads, sample, note)
    if config.neurons is not None:
        model = _narrower(model, neurons(model), config.neurons, sample, note)
    if model is parent.model:
        model = copy.deepcopy(model)
    model.requires_grad_(True)
    if config.sparsity:
        _set_to_zero(model, config.sparsity, note)
    if config.recover and config.hard_weight < 1:
        task = SoftTargets(task, parent.model, config)
    return Small(model, task, prepared, learns=learns(config))


def _check_layers(layers: int | tuple[int, ...] | None, model: PreTrainedModel) -> None:
    from hftune.compressors._surgery import check_fewer, layer_count, layers_name

    assert layers is not None
    layers_name(model)
    check_fewer(layers, layer_count(model.config))


def _with_fewer_layers(
    model: PreTrainedModel, layers: int | tuple[int, ...], sample: Sample, note: Note
) -> PreTrainedModel:
    from hftune.compressors._importance import agreed, choose_layers
    from hftune.compressors._surgery import keep_layers, layer_count

    if isinstance(layers, int):
        before = sample.loss(model)
        kept, gone = choose_layers(model, layers, sample, note)
        for layer, loss in gone:
            note(
                f"layer {layer} is left out: the loss on {sample.size} train rows goes from {before:.3f} to {loss:.3f}"
            )
            before = loss
        layers = tuple(agreed(kept))
    note(f"layers kept: {', '.join(map(str, layers))}, of {layer_count(model.config)} counted from 0")
    small = keep_layers(model, layers)
    small.requires_grad_(False)
    return small


def _narrower(model: PreTrainedModel, parts: Parts, share: float, sample: Sample, note: Note) -> PreTrainedModel:
    from hftune.compressors._importance import agreed, best_parts, parts_importance
    from hftune.compressors._narrowing import keep_parts

    kept = _number(parts, share)
    note(f"measuring what {parts.count} {parts.what} of each layer are worth")
    importance = parts_importance(model, parts, sample)
    small = keep_parts(model, parts, agreed(best_parts(importance, kept)))
    small.requires_grad_(False)
    note(f"{parts.what} kept: {kept} of {parts.count} of each layer")
    return small


def _number(parts: Parts, share: float | None) -> int:
    """Return how many parts are kept: near the share, of neurons whole blocks; raises RecipeError where that is all."""
    assert share is not None
    kept = parts.nearest(share * parts.count, BLOCK if parts.key == "compress.neurons" else 1)
    if kept is None:
        message = f"there are {parts.count} {parts.what} a layer: none can be left out"
        raise RecipeError([Problem(parts.key, message, "Leave it out.")])
    return kept


def _set_to_zero(model: PreTrainedModel, share: float, note: Note) -> None:
    from hftune.compressors._sparsity import sparsify

    zeros, total = sparsify(model, share)
    note(f"{zeros:,} of {total:,} weights are zero; they are stored and multiplied like others: no faster, no smaller")


__all__ = ["Config", "check", "learns", "make", "training"]
