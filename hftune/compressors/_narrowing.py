"""Layers made narrower: fewer neurons in the feed-forward blocks, fewer heads in attention.

Which weights shrink, and along which dimension, is seen by making the smaller model without memory for its weights and
comparing shapes: no table of modules, and no doubt about GPT-2's Conv1D, whose weights lie the other way round.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from hftune.compressors._surgery import layer_count, layer_of, layers_name, rebuilt
from hftune.errors import Problem, RecipeError
from hftune.training.randomness import kept_randomness

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# What configs call the width of the feed-forward block; GPT-2's n_inner may be left out, for four times the model's.
_INNER = ("intermediate_size", "n_inner", "hidden_dim", "ffn_dim", "d_inner", "d_ff")
_TIMES_WIDER = 4


@dataclass(frozen=True)
class Cut:
    """A weight that has its parts along dimension `dim`, `each` entries a part, one part's beside each other."""

    name: str
    dim: int
    each: int


@dataclass(frozen=True)
class Parts:
    """Parts of which every layer has `count` and could have fewer: neurons, or groups of heads that share a key.

    `what` they are called, `resized` gives the config of a model that has so many, `place` is the name of the list of
    layers.
    """

    key: str
    what: str
    count: int
    place: str
    cuts: tuple[Cut, ...]
    resized: Callable[[int], PretrainedConfig]

    def nearest(self, wanted: float, block: int = 1) -> int | None:
        """Return the smaller number of parts nearest to `wanted` that the config allows, a multiple of `block` if any.

        Llama's heads must divide its width. None where there is no smaller number.
        """
        numbers = sorted(range(1, self.count), key=lambda number: (number % block > 0, abs(number - wanted)))
        return next((number for number in numbers if _is_allowed(self.resized(number))), None)

    def readers(self, model: PreTrainedModel) -> list[list[tuple[nn.Module, int]]]:
        """Return for each layer the modules whose input is what the parts give, with the entries of a part."""
        found: list[list[tuple[nn.Module, int]]] = [[] for _ in range(layer_count(model.config))]
        for cut in self.cuts:
            module_name, _, weight = cut.name.rpartition(".")
            layer, module = layer_of(cut.name, self.place), model.get_submodule(module_name)
            assert layer is not None
            if weight == "weight" and cut.dim == (1 if isinstance(module, nn.Linear) else 0) and _is_matrix(module):
                found[layer].append((module, cut.each))
        return found


def neurons(model: PreTrainedModel) -> Parts:
    """Return the neurons of the model's feed-forward blocks; raises RecipeError for a kind that cannot have fewer."""
    config = model.config
    field = next((name for name in _INNER if hasattr(config, name)), None)

    def resized(count: int) -> PretrainedConfig:
        changed = copy.deepcopy(config)
        setattr(changed, str(field), count)
        return changed

    if field is not None:
        count = getattr(config, field) or _TIMES_WIDER * config.hidden_size
        parts = _parts(model, ("compress.neurons", "neurons"), count, resized, {1})
        if parts is not None:
            return parts
    message = f"models of the kind {config.model_type} have no feed-forward blocks that could have fewer neurons"
    hint = "Leave it out; BERT, GPT-2, Llama and models that are built as they are can have fewer."
    raise RecipeError([Problem("compress.neurons", message, hint)])


def head_groups(model: PreTrainedModel) -> Parts:
    """Return the groups of heads that share a key and value: single heads where none do.

    Raises RecipeError for a kind whose heads always divide the whole width (BERT, GPT-2): with fewer, each would have
    another size, and transformers could not load the model again.
    """
    config = model.config
    heads = getattr(config, "num_attention_heads", None) or 1
    groups = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or getattr(config, "hidden_size", heads) // heads

    def resized(count: int) -> PretrainedConfig:
        changed = copy.deepcopy(config)
        changed.head_dim = size
        changed.num_attention_heads = count * heads // groups
        if hasattr(changed, "num_key_value_heads"):
            changed.num_key_value_heads = count
        return changed

    what = "heads" if groups == heads else f"groups of {heads // groups} heads"
    parts = _parts(model, ("compress.heads", what), groups, resized, {size, size * (heads // groups)})
    if parts is not None:
        return parts
    message = (
        f"models of the kind {config.model_type} cannot have fewer heads: their heads divide the whole width, so that "
        "transformers could not load the result again"
    )
    hint = "Leave it out, and prune neurons or layers. Llama and its kin, whose config has head_dim, can have fewer."
    raise RecipeError([Problem("compress.heads", message, hint)])


def keep_parts(model: PreTrainedModel, parts: Parts, kept: Sequence[Sequence[int]]) -> PreTrainedModel:
    """Return a new model of the same class with these parts of each layer, in this order."""
    _check_kept(parts, kept, layer_count(model.config))
    state = model.state_dict()
    for cut in parts.cuts:
        layer = layer_of(cut.name, parts.place)
        assert layer is not None
        chosen = torch.tensor(kept[layer], device=model.device)
        entries = (chosen[:, None] * cut.each + torch.arange(cut.each, device=model.device)).flatten()
        state[cut.name] = state[cut.name].index_select(cut.dim, entries)
    return rebuilt(model, parts.resized(len(kept[0])), state, parts.key)


def _check_kept(parts: Parts, kept: Sequence[Sequence[int]], layers: int) -> None:
    problem = ""
    if len(kept) != layers:
        problem = f"the model has {layers} layers, and parts of {len(kept)} are named"
    elif len({len(each) for each in kept}) != 1 or not kept[0]:
        problem = "each layer must keep equally many, and one at least"
    elif any(len(set(each)) < len(each) or not 0 <= min(each) <= max(each) < parts.count for each in kept):
        problem = f"each layer has {parts.count}, counted from 0, and each can be named once"
    if problem:
        raise RecipeError([Problem(parts.key, problem)])


def _parts(
    model: PreTrainedModel,
    names: tuple[str, str],
    count: int,
    resized: Callable[[int], PretrainedConfig],
    sizes: set[int],
) -> Parts | None:
    """Return the parts whose number `resized` changes; None where that does not shrink weights of the layers alone.

    `names`: their option and what they are called.
    `sizes`: the entries that a part may have in a weight. Any other number is a weight in which several things lie
    behind each other (queries, keys and values in one), whose order is not known here.
    """
    place = layers_name(model, names[0])
    smaller = next((number for number in range(count - 1, 0, -1) if _is_allowed(resized(number))), None)
    if smaller is None:
        return None
    try:
        with kept_randomness(), torch.device("meta"):
            probe: PreTrainedModel = type(model)(resized(smaller))
    except (ValueError, TypeError, KeyError):
        return None
    cuts = []
    shapes = {name: tensor.shape for name, tensor in probe.state_dict().items()}
    for name, tensor in model.state_dict().items():
        if (shape := shapes.get(name)) is None:
            return None
        for dim in (dim for dim, size in enumerate(tensor.shape) if shape[dim] != size):
            each = tensor.shape[dim] // count
            fits = (tensor.shape[dim], shape[dim]) == (count * each, smaller * each)
            if layer_of(name, place) is None or tensor.dim() > 2 or each not in sizes or not fits:
                return None
            cuts.append(Cut(name, dim, each))
    return Parts(*names, count, place, tuple(cuts), resized) if cuts else None


def _is_allowed(config: PretrainedConfig) -> bool:
    """Return whether a config can be read again from the file that it is written to."""
    try:
        type(config).from_dict(config.to_dict())
    except Exception:  # whatever an architecture's own checks raise
        return False
    return True


def _is_matrix(module: nn.Module) -> bool:
    """Return whether a module multiplies its input by its weight: a Linear, or GPT-2's Conv1D."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.dim() == 2 and not isinstance(module, nn.Embedding)


__all__ = ["Cut", "Parts", "head_groups", "keep_parts", "neurons"]
