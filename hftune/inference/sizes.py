"""What a run's model takes on the disk, with the pretrained weights that it is nothing without."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hftune.inference.loading import ADAPTER_CONFIG
from hftune.modeling.resolve import resolve_model
from hftune.recipe.schema import Recipe
from hftune.runs import layout

WEIGHTS = ("*.safetensors", "*.bin")  # the first of these that there are is what transformers loads


def model_bytes(run: Path) -> int:
    """Return the size of all that is in a run's model/."""
    return _size((run / layout.MODEL).rglob("*"))


def base_bytes(recipe: Recipe, run: Path) -> int:
    """Return the size of the pretrained weights that an adapter stands on; 0 where the model is whole.

    Raises ModelError where they are not found any more.
    """
    if not (run / layout.MODEL / ADAPTER_CONFIG).is_file():
        return 0
    folder = resolve_model(recipe.model, tokenizer=False).folder
    return next((size for pattern in WEIGHTS if (size := _size(folder.glob(pattern)))), 0)


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
