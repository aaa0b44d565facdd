"""Finished runs of tiny models, as `hftune run` leaves them, to be made smaller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hftune import cli
from hftune.runs.reader import list_runs

TRAINING = {
    "max_steps": 36, "per_device_train_batch_size": 8, "learning_rate": 5e-3, "precision": "fp32", "threads": 1,
    "logging_steps": 1,
}  # fmt: skip


def write_recipe(folder: Path, name: str, model: str, data: dict[str, Any], **sections: Any) -> Path:
    """Write a recipe of a tiny model as JSON, which is YAML; return its path."""
    recipe = {"name": name, "task": "text-classification", "model": model, "data": data, "training": TRAINING}
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({**recipe, "energy": {"meter": False}, **sections}), encoding="utf-8")
    return path


def train(recipe: Path, runs_dir: Path) -> Path:
    """Carry out a recipe; return its run directory."""
    assert cli.run(["run", str(recipe), "--runs-dir", str(runs_dir), "--skip-check", "--json"]) == 0
    return newest(runs_dir)


def newest(runs_dir: Path) -> Path:
    """Return the newest run directory."""
    return list_runs(runs_dir)[0].path


def compress(parent: Path, method: str, *overrides: str, runs_dir: Path | None = None) -> int:
    """Return the exit code of `hftune compress`."""
    given = [part for override in overrides for part in ("-s", override)]
    where = ["--runs-dir", str(runs_dir)] if runs_dir is not None else []
    return cli.run(["compress", str(parent), "--method", method, *given, *where, "--json"])


def compressed(parent: Path, method: str, *overrides: str) -> Path:
    """Compress a run into the test's own folder; return the new run directory."""
    assert compress(parent, method, *overrides) == 0
    return list_runs()[0].path
