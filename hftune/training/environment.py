"""What a run's bits depend on: recipe, data, base model, versions, machine. A resumed run compares them first."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from hftune.data.fingerprint import fingerprint
from hftune.modeling.resolve import ResolvedModel
from hftune.recipe.schema import Recipe
from hftune.training.precision import Precision

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_PACKAGES = ("hftune", "torch", "transformers", "accelerate", "peft", "datasets", "tokenizers", "numpy")
_MODEL_FILES = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model", "*.py")
_CPU_INFO = Path("/proc/cpuinfo")
# Told for people; two machines may differ in these and still agree bit for bit.
_NOT_COMPARED = ("platform", "model_revision", "model_origin", "inexact")


def describe_environment(
    recipe: Recipe,
    splits: Mapping[str, Dataset],
    base: ResolvedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    accelerator: Accelerator,
    precision: Precision,
) -> dict[str, Any]:
    """Return what environment.json holds. `base` is None for a model made from scratch."""
    return {
        "recipe": describe_recipe(recipe),
        "data": fingerprint(splits),
        "model": fingerprint_model(base.folder if base else None, tokenizer),
        "model_revision": base.revision if base else None,
        "model_origin": base.origin if base else "made from scratch",
        "versions": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "device": _device_name(accelerator.device),
        "precision": precision.name,
        "threads": torch.get_num_threads(),
        "processes": accelerator.num_processes,
    }


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return dotted key -> value of all in a recipe that the bits depend on."""
    return dict(flatten(recipe.model_dump(mode="json", exclude={"name", "description", "hub", "energy"})))


def find_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that differs, such as `threads: 2 before, 4 now`."""
    old, new = dict(flatten(before)), dict(flatten(now))
    keys = [key for key in dict.fromkeys([*old, *new]) if key.split(".")[0] not in _NOT_COMPARED]
    return [
        f"{key}: {_short(old.get(key))} before, {_short(new.get(key))} now"
        for key in keys
        if old.get(key) != new.get(key)
    ]


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted key and value of everything in nested mappings."""
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def fingerprint_model(folder: Path | None, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 over the base model's files and the vocabulary; a model from scratch has only the latter."""
    digest = hashlib.sha256()
    paths = {path for pattern in _MODEL_FILES for path in folder.glob(pattern)} if folder is not None else set()
    for path in sorted(paths, key=lambda path: path.name):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    for token, index in sorted(tokenizer.get_vocab().items()):
        digest.update(f"{index} {token}\n".encode())
    return digest.hexdigest()


def _processor() -> str:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _device_name(device: torch.device) -> str:
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
