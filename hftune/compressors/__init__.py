"""Compressors: a smaller model made from a finished run's. One file a way; the file name is `compress` in a recipe.

What comes of it is a run of its own, whose recipe names its parent: everything that reads runs reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import BeforeValidator, Field

from hftune.recipe.schema import Choice, PluginConfig, Recipe, as_tuple
from hftune.registry import Registry

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from hftune.inference.loading import LoadedRun
    from hftune.tasks import Prepared, Task

Note = Callable[[str], None]
Layers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(as_tuple)]  # which, counted from 0


class Options(PluginConfig):
    """What every compressor is told; each plugin's `Config` subclasses it."""

    parent: str = Field(description="directory of the finished run whose model is made smaller")
    max_loss: Annotated[float, Field(ge=0)] = Field(
        0.02,
        description="how much worse than its parent's the result may be on held-out rows before that is an error: of "
        "accuracy, F1 and correlations so much less, of losses and errors such a share more",
    )


class LearningOptions(Options):
    """What a compressor is told whose small model learns from its parent (`_soft_targets.py` has the formula)."""

    temperature: Annotated[float, Field(gt=0)] = Field(
        2.0, description="both models' logits are divided by it: above 1, what the parent holds for less likely counts"
    )
    hard_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="weight of the labels' own loss; the rest is the difference from the parent's answers"
    )


@dataclass(frozen=True)
class Parent:
    """The model that is made smaller: whole (an adapter merged into its base), fp32, frozen, on `device`."""

    loaded: LoadedRun
    device: torch.device

    @property
    def model(self) -> PreTrainedModel:
        return self.loaded.model


@dataclass(frozen=True)
class Small:
    """What a compressor makes: a model, and how it goes on.

    It learns `prepared` by `task` (in whose loss the parent may have a part) where `learns`. `save` writes a model that
    is not plain weights and config into a folder; None: as the recipe's method does.
    """

    model: PreTrainedModel
    task: Task
    prepared: Prepared
    learns: bool = True
    save: Callable[[Path], None] | None = None


class Compressor(Protocol):
    """A compressor plugin is a module with these names."""

    Config: type[Options]

    def learns(self, config: Any) -> bool:
        """Return whether the small model is trained, or only made."""

    def training(self, config: Any, parent: Recipe) -> Mapping[str, Any]:
        """Return the keys of `training` in which the run's recipe differs from its parent's."""

    def check(self, config: Any, recipe: Recipe, parent_config: PretrainedConfig) -> None:
        """Raise RecipeError for options that do not fit the parent's architecture or task, before weights are loaded;
        ModelError with the command to type for a package that is missing."""

    def make(self, recipe: Recipe, parent: Parent, task: Task, prepared: Prepared, note: Note) -> Small:
        """Return the small model; the same for the same recipe, parent and data. `note` is told what takes time."""


registry: Registry[Compressor] = Registry("hftune.compressors", "compressor")


def learns(compress: Choice) -> bool:
    """Return whether what a recipe compresses is trained; raises UsageError for an unknown compressor."""
    plugin = registry.load(compress.name)
    return plugin.learns(compress.settings(plugin.Config))


__all__ = ["Compressor", "Layers", "LearningOptions", "Note", "Options", "Parent", "Small", "learns", "registry"]
