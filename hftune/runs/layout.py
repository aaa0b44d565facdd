"""Names of the files in a run directory. Nothing else in hftune spells them out."""

from __future__ import annotations

from pathlib import Path

RECIPE = "recipe.yaml"  # resolved, runnable again as it is
STATE = "state.json"  # replaced atomically
EVENTS = "events.jsonl"  # append-only
LOG = "log.txt"  # stdout and stderr of the job
ENVIRONMENT = "environment.json"  # versions, device, threads, data and model fingerprints
CHECKPOINTS = "checkpoints"
MODEL = "model"  # the best model, loadable without hftune
MODEL_INIT = "model_init"  # config and tokenizer, from which a checkpoint is loaded while the run trains
METRICS = "metrics.json"  # final figures by split, no times in it
ENERGY = "energy.json"  # what all attempts used, and what was estimated
COMPRESSION = "compression.json"  # of a compressed run: how its model does beside its parent's
CONTROL = "control"  # requests to the job: stop, pause, checkpoint
LOCK = "run.lock"  # flock of the process that owns the run
LAUNCH = "launch.json"  # how it was started: {"processes": N, "check": true}; resume does the same
MANIFEST = "MANIFEST.json"  # in a checkpoint, written last
TRAINABLE = "trainable.safetensors"  # in a checkpoint: all weights that learn

# What a run may be called: safe as a folder name on every file system and in every shell.
LONGEST_NAME = 64
SAFE_NAME = rf"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}$"

STEP_PREFIX = "step-"
STEP_DIGITS = 8


def checkpoint_name(step: int) -> str:
    """Return `step-00000500` for step 500."""
    return f"{STEP_PREFIX}{step:0{STEP_DIGITS}d}"


def checkpoint_step(path: Path) -> int | None:
    """Return the step of a checkpoint folder by its name, None when it is not one (quarantined, temporary)."""
    digits = path.name.removeprefix(STEP_PREFIX)
    return int(digits) if path.name.startswith(STEP_PREFIX) and digits.isdigit() else None


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint folders of a run, oldest step first; by step, never by clock."""
    folder = run / CHECKPOINTS
    if not folder.is_dir():
        return []
    found = [(step, path) for path in folder.iterdir() if (step := checkpoint_step(path)) is not None]
    return [path for _, path in sorted(found)]
