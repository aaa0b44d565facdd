"""Full fine-tuning: every weight learns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hftune.methods._weights import copy_into, open_modes, silent_save
from hftune.recipe.schema import ModelSection, PluginConfig

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

DEFAULT_LEARNING_RATE = 5e-5
# Pretrained: from RoBERTa's 1e-5 (Liu et al. 2019) over BERT's 5e-5 (Devlin et al. 2019) to 3e-4 for small BERTs
# (Turc et al. 2019). From scratch: around Adam's own 1e-3 (Kingma and Ba 2015), GPT-3's 6e-4 (Brown et al. 2020).
_PRETRAINED, _FROM_SCRATCH = (1e-5, 3e-4), (1e-4, 1e-2)


class Config(PluginConfig):
    """Full fine-tuning has no options."""


def usual_learning_rates(base: ModelSection) -> tuple[float, float]:
    """Return the band that Adam's rates are usually in; wider for a model made from scratch."""
    return _FROM_SCRATCH if base.id is None else _PRETRAINED


def check(config: PluginConfig, base: ModelSection, base_config: PretrainedConfig, task: str) -> None:
    """Every model can be trained in full."""


def adapt(model: PreTrainedModel, config: PluginConfig, base: ModelSection, task: str) -> PreTrainedModel:
    """Return the same model with every weight learning."""
    model.requires_grad_(True)
    return model


def trainable_state(model: PreTrainedModel) -> dict[str, object]:
    """Return every weight and persistent buffer once: of tied weights only the first name is kept."""
    return dict(_targets(model))


def load_state(model: PreTrainedModel, state: dict[str, object]) -> None:
    """Copy the weights back in place; raises ModelError when names or shapes differ."""
    copy_into(_targets(model), state)


def save(model: PreTrainedModel, folder: Path) -> None:
    """Write config.json and model.safetensors, which `from_pretrained` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    silent_save(model, folder)
    open_modes(folder)


def _targets(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    seen: set[tuple[int, int, tuple[int, ...]]] = set()
    targets: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.storage_offset(), tuple(tensor.shape))
        if tensor.numel() and place in seen:
            continue
        seen.add(place)
        targets[name] = tensor
    return targets
