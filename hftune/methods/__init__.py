"""Methods: how pretrained weights are adapted. One file a method; the file name is the recipe's `method`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hftune.recipe.schema import ModelSection, PluginConfig
from hftune.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedModel


class Method(Protocol):
    """A method plugin is a module with these names."""

    Config: type[PluginConfig]
    DEFAULT_LEARNING_RATE: float

    def usual_learning_rates(self, base: ModelSection) -> tuple[float, float]:
        """Return the band, lowest and highest, that rates are usually in with Adam or AdamW, for weights of `base`."""

    def check(self, config: PluginConfig, base: ModelSection, base_config: PretrainedConfig, task: str) -> None:
        """Raise RecipeError for options that do not fit the architecture, before any weight is loaded."""

    def adapt(self, model: PreTrainedModel, config: PluginConfig, base: ModelSection, task: str) -> PreTrainedModel:
        """Return the model to train: what must not learn is frozen, what the method adds is added.

        Raises RecipeError with the modules that exist when a target module does not.
        """

    def trainable_state(self, model: PreTrainedModel) -> dict[str, object]:
        """Return name -> tensor of all that a checkpoint must hold to rebuild the model on its base."""

    def load_state(self, model: PreTrainedModel, state: dict[str, object]) -> None:
        """Put a `trainable_state` back; raises ModelError when names or shapes differ."""

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Write the model as plain transformers or peft reads it (safetensors, config)."""


registry: Registry[Method] = Registry("hftune.methods", "method")
