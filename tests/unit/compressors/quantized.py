"""Quantized runs as the pipeline leaves them, without what tells how they were made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hftune.compressors import quantize
from hftune.compressors._parent import load_parent
from hftune.compressors._recipes import compress_recipe
from hftune.recipe.load import dump_recipe


def make(run: Path, wanted: str, note: Callable[[str], None] = lambda text: None) -> Any:
    """Return the recipe of a quantized run, its parent, and what the compressor makes."""
    recipe = compress_recipe(run, "quantize", [f"compress.format={wanted}"])
    parent = load_parent(recipe, torch.device("cpu"))
    return recipe, parent, quantize.make(recipe, parent, None, None, note)  # type: ignore[arg-type]


def write(run: Path, wanted: str, folder: Path) -> Path:
    """Write a finished run whose model is that of `run`, quantized; return its folder."""
    recipe, parent, small = make(run, wanted)
    (folder / "model").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    small.save(folder / "model")
    parent.loaded.tokenizer.save_pretrained(folder / "model")
    for name in ("events.jsonl", "environment.json", "metrics.json"):
        if (run / name).is_file():
            shutil.copy(run / name, folder / name)
    return folder
