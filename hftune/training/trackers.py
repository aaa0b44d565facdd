"""TensorBoard and W&B, through Accelerate's trackers; off unless the recipe's `report_to` names them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from accelerate import Accelerator

from hftune.errors import UsageError
from hftune.recipe.schema import Recipe, TrainingSection

_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}


def require_trackers(training: TrainingSection) -> None:
    """Raise UsageError when a tracker's package is missing; Accelerate would log nowhere and say nothing."""
    for name in training.report_to:
        if not any(map(_is_installed, _PACKAGES[name])):
            raise UsageError(
                f"training.report_to: the package for {name} is not installed",
                hint=f"pip install {_PACKAGES[name][0]}   (or: pip install 'hftune[{name}]')",
            )


def _is_installed(package: str) -> bool:
    # A folder of that name without code, such as the ./wandb that W&B writes its runs to, has a spec but no origin.
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


class Trackers:
    """Where else the curves go; does nothing when the recipe names no tracker."""

    def __init__(self, accelerator: Accelerator, recipe: Recipe) -> None:
        self._accelerator, self._active = accelerator, bool(recipe.training.report_to)
        if self._active:
            plain = recipe.training.model_dump(mode="json")
            config = {key: value for key, value in plain.items() if isinstance(value, int | float | str)}
            accelerator.init_trackers("hftune", config={**config, "name": recipe.name, "task": recipe.task.name})

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Hand figures named `train/loss`, `validation/accuracy` … to the trackers."""
        if self._active:
            self._accelerator.log(dict(figures), step=step)

    def close(self) -> None:
        """Let the trackers write what they hold."""
        if self._active:
            self._accelerator.end_training()
