"""What a run's model takes on the disk, with the pretrained weights that it is nothing without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hftune.inference.loading import ADAPTER_CONFIG
from hftune.modeling.resolve import resolve_model
from hftune.recipe.schema import Recipe
from hftune.runs import layout

WEIGHTS = ("*.safetensors", "*.bin")


def model_bytes(run: Path) -> int:
    """Return the size of all that is in a run's model/."""
    return _size(run / layout.MODEL, ("*",))


def base_bytes(recipe: Recipe, run: Path) -> int:
    """Return the size of the pretrained weights that an adapter stands on; 0 where the model is whole.

    Raises ModelError where they are not found any more.
    """
    if not (run / layout.MODEL / ADAPTER_CONFIG).is_file():
        return 0
    return _size(resolve_model(recipe.model, tokenizer=False).folder, WEIGHTS)


def _size(folder: Path, patterns: Sequence[str]) -> int:
    paths = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return sum(path.stat().st_size for path in paths)
