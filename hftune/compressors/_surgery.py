"""Parts cut out of a transformer: a new, smaller model of the same class with the weights of what is kept.

Nothing here knows names of modules. A changed copy of the config makes a fresh model of the same class, and what its
weights are called and how they are shaped says what is copied where: so everything inside that counts layers is right,
and plain transformers loads the result as any other model of its kind.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from hftune.errors import Problem, RecipeError
from hftune.figures import many
from hftune.training.randomness import kept_randomness

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hftune.recipe.schema import Recipe


def keep_layers(model: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """Return a new model of the same class that has these of the model's layers, in this order.

    Its weights are copies, on the model's device and in its dtype. Raises RecipeError for layers that the model does
    not have, and for an architecture whose layers cannot be taken apart.
    """
    place, count = layers_name(model), layer_count(model.config)
    check_layers(layers, count)
    config = copy.deepcopy(model.config)
    for name, value in vars(model.config).items():
        if "layer" in name and isinstance(value, list | tuple) and len(value) == count:
            setattr(config, name, type(value)(value[index] for index in layers))  # such as Qwen's layer_types
    config.num_hidden_layers = len(layers)
    positions = {layer: position for position, layer in enumerate(layers)}
    state = {}
    for name, tensor in model.state_dict().items():
        layer = layer_of(name, place)
        if layer is None:
            state[name] = tensor
        elif layer in positions:
            state[f"{place}.{positions[layer]}." + name.removeprefix(f"{place}.{layer}.")] = tensor
    return rebuilt(model, config, state, "compress.layers")


def layer_count(config: PretrainedConfig) -> int:
    """Return how many layers a model of this config has; 0 where the config does not say."""
    count = getattr(config, "num_hidden_layers", None)
    return count if isinstance(count, int) else 0


def layers_name(model: PreTrainedModel, key: str = "compress.layers") -> str:
    """Return the dotted name of the list that holds the model's layers (`bert.encoder.layer`).

    Raises RecipeError at `key` where there is none, or more than one (an encoder and a decoder).
    """
    count = layer_count(model.config)
    lists: list[str] = [
        name for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    # A layer may hold a list of as many parts, which is none of layers.
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    if len(outer) == 1:
        return outer[0]
    what = "keep their layers in no list of their own" if not outer else f"have {len(outer)} lists of layers"
    kind = model.config.model_type
    hint = "Leave it out; BERT, GPT-2, Llama and models that are built as they are can be pruned."
    raise RecipeError([Problem(key, f"models of the kind {kind} {what}", hint)])


def without_weights(recipe: Recipe, config: PretrainedConfig) -> PreTrainedModel:
    """Return a model of the recipe's task with this config that has shapes but no memory for its weights."""
    from hftune.inference.loading import auto_class

    with kept_randomness(), torch.device("meta"):
        model: PreTrainedModel = auto_class(recipe.task.name).from_config(config)
    return model


def check_layers(layers: Sequence[int], count: int) -> None:
    """Raise RecipeError for layers that a model of so many does not have."""
    problem = ""
    if not layers:
        problem = "no layer is kept"
    elif absent := [layer for layer in layers if not 0 <= layer < count]:
        problem = f"there is no layer {', '.join(map(str, absent))}: the model has {count}, counted from 0"
    elif twice := sorted({layer for layer in layers if list(layers).count(layer) > 1}):
        problem = f"layer {', '.join(map(str, twice))} is named twice"
    if problem:
        hint = f"Name some of 0 to {count - 1}, for example {list(range(0, count, 2))}."
        raise RecipeError([Problem("compress.layers", problem, hint)])


def check_fewer(layers: int | Sequence[int], count: int) -> None:
    """Raise RecipeError for layers to keep, how many or which, that are not some of the `count` that there are."""
    if not isinstance(layers, int):
        check_layers(layers, count)
    kept = layers if isinstance(layers, int) else len(layers)
    if kept >= count:
        message = f"{many(kept, 'layer')} are no fewer than the {count} that there are"
        hint = f"Keep 1 to {count - 1}." if count > 1 else "Leave it out."
        raise RecipeError([Problem("compress.layers", message, hint)])


def layer_of(name: str, place: str) -> int | None:
    """Return the number of the layer that a weight belongs to; None for one outside the layers."""
    if not name.startswith(f"{place}."):
        return None
    return int(name.removeprefix(f"{place}.").split(".", 1)[0])


def rebuilt(
    model: PreTrainedModel, config: PretrainedConfig, state: Mapping[str, torch.Tensor], key: str
) -> PreTrainedModel:
    """Return a fresh model of the same class as `model` with this config and these weights."""
    fresh = _fresh(model, config, key)
    fresh.load_state_dict(dict(state))
    if getattr(model, "generation_config", None) is not None:
        fresh.generation_config = copy.deepcopy(model.generation_config)
    return fresh.train(model.training)


def _fresh(model: PreTrainedModel, config: PretrainedConfig, key: str) -> PreTrainedModel:
    """Return a new model with this config, on the device and in the dtype of `model`; its weights say nothing.

    Raises RecipeError where such a model cannot be made, or not again from its config as it is written to a file.
    """
    try:
        type(config).from_dict(config.to_dict())
        with kept_randomness():
            made: PreTrainedModel = type(model)(config)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message = f"there are no such models of the kind {config.model_type}: {reason}"
        raise RecipeError([Problem(key, message, "Leave it out.")]) from error
    return made.to(device=model.device, dtype=model.dtype)


__all__ = [
    "check_fewer",
    "check_layers",
    "keep_layers",
    "layer_count",
    "layer_of",
    "layers_name",
    "rebuilt",
    "without_weights",
]
