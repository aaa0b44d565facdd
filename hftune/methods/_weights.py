"""What both methods need of weights: putting a state back exactly, and files that others may read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hftune.errors import ModelError

if TYPE_CHECKING:
    import torch


def copy_into(targets: Mapping[str, torch.Tensor], state: Mapping[str, object]) -> None:
    """Copy each tensor of `state` into the target of the same name; raises ModelError before any is copied."""
    import torch

    missing, unknown = sorted(targets.keys() - state.keys()), sorted(state.keys() - targets.keys())
    if missing or unknown:
        some = ", ".join([*(f"-{name}" for name in missing[:3]), *(f"+{name}" for name in unknown[:3])])
        raise ModelError(
            f"the saved weights are not this model's: {len(missing)} missing, {len(unknown)} too many ({some})",
            hint="Was the recipe's model or method changed since they were saved?",
        )
    for name, target in targets.items():
        value = state[name]
        if not isinstance(value, torch.Tensor) or value.shape != target.shape:
            found = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ModelError(f"the saved weight {name} has shape {found}, the model's {tuple(target.shape)}")
    with torch.no_grad():
        for name, target in targets.items():
            value = state[name]
            assert isinstance(value, torch.Tensor)
            target.copy_(value)


def open_modes(folder: Path) -> None:
    """Give each file the mode that the folder's own allows: safetensors writes 0600 whatever the umask."""
    allowed = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(allowed)


def silent_save(model: Any, folder: Path) -> None:
    """Call `save_pretrained` as safetensors without its progress bar.

    Quantized weights are written under the names that the model has: transformers cannot tell any older ones of them.
    """
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        if getattr(model, "hf_quantizer", None) is not None:
            model.save_pretrained(folder, save_original_format=False)
        else:
            model.save_pretrained(folder)
    finally:
        if bars:
            transformers_logging.enable_progress_bar()


# Set on a model where its base had no such weights; a method that does not save the body must save these.
_NEW_WEIGHTS = "hftune_new_weights"


def mark_new_weights(model: Any, names: Iterable[str]) -> None:
    """Note on the model which of its weights were drawn at random because the checkpoint has none."""
    setattr(model, _NEW_WEIGHTS, tuple(sorted(names)))


def new_weights(model: Any) -> tuple[str, ...]:
    """Return the names that `mark_new_weights` noted, none when it was not called."""
    names: tuple[str, ...] = getattr(model, _NEW_WEIGHTS, ())
    return names
