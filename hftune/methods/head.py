"""A linear head on a frozen body: the pretrained weights stay as they are, only the new classifier learns.

Also known as a linear probe (Alain and Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2016):
it tells how much of the answer the pretrained features hold already. The head is all that the task adds: what stands
outside of the body, and weights that the checkpoint does not have (a BERT without its pooler).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import Problem, RecipeError
from hftune.methods._weights import copy_into, new_weights, open_modes, silent_save
from hftune.recipe.schema import ModelSection, PluginConfig

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

# The features do not move, and the head's problem is convex: large steps are safe. On the movie reviews 1e-3 is still
# far from the lowest validation loss after four epochs, 1e-2 is near, 4e-2 nearer.
DEFAULT_LEARNING_RATE = 2e-2
_USUAL_LEARNING_RATES = (1e-3, 1e-1)


class Config(PluginConfig):
    """A head on a frozen body has no options."""


def usual_learning_rates(base: ModelSection) -> tuple[float, float]:
    """Return the band that Adam's rates are usually in."""
    return _USUAL_LEARNING_RATES


def check(config: PluginConfig, base: ModelSection, base_config: PretrainedConfig, task: str) -> None:
    """Raise RecipeError for a task without a head of its own, and for a body without pretrained weights."""
    if task != "text-classification":
        message = f"{task} has no head of its own: the model's output layer belongs to its pretrained weights"
        raise RecipeError([Problem("method", message, "Use `method: lora`, or `method: full`.")])
    if base.id is None:
        message = "a frozen body needs pretrained weights; of a model made from scratch it would stay random"
        raise RecipeError([Problem("method", message, "Use `method: full`, or name a pretrained model.")])


def adapt(model: PreTrainedModel, config: PluginConfig, base: ModelSection, task: str) -> PreTrainedModel:
    """Return the model with its body frozen, without dropout in it; raises RecipeError when that leaves nothing."""
    check(config, base, model.config, task)
    body = getattr(model, model.base_model_prefix, None) if model.base_model_prefix else None
    learning = _head_weights(model) if body is not None else {}
    if body is None or not learning:
        message = f"no head can be told from the body of a {model.config.model_type}"
        raise RecipeError([Problem("method", message, "Use `method: lora`, or `method: full`.")])
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in learning)
    body.register_forward_pre_hook(_stay_in_evaluation)
    return model


def trainable_state(model: PreTrainedModel) -> dict[str, object]:
    """Return the head's weights by name: the body is the base's."""
    return dict(_head_weights(model))


def load_state(model: PreTrainedModel, state: dict[str, object]) -> None:
    """Copy the head's weights back in place; raises ModelError when names or shapes differ."""
    copy_into(_head_weights(model), state)


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write config.json and model.safetensors, body and head, which `from_pretrained` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    silent_save(model, folder)
    open_modes(folder)


def _stay_in_evaluation(body: Any, _: Any) -> None:
    """Keep dropout out of a body that is about to compute, whatever mode the whole model was set to.

    Dropout keeps weights from relying on each other, and these do not learn: it would only hide features from the head
    in training that it finds in use. The head's own dropout stays.
    """
    if body.training:
        body.eval()


def _head_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return name -> weight of all that the checkpoint does not have; a table of embeddings is never of the head."""
    new = set(new_weights(model))
    body = model.base_model_prefix + "."
    table = {id(weight) for weight in model.get_input_embeddings().parameters()}
    return {
        name: weight
        for name, weight in model.named_parameters()
        if name in new or not (name.startswith(body) or id(weight) in table)
    }
