"""Checkpoints: folders that are either whole, by their own manifest, or not there.

Written into a temporary folder, every file synced, MANIFEST.json (sizes, SHA-256) last, then renamed and the parent
synced; only then are old ones deleted, and only while a verified one stays. Safetensors and JSON, no pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hftune.errors import RunError
from hftune.runs import layout
from hftune.runs.files import fsync_folder
from hftune.runs.reader import lasting_name
from hftune.training.tensor_file import Written, write_bytes, write_tensors

WEIGHTS = layout.TRAINABLE
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"

_TEMPORARY = ".writing-"
_BROKEN = "broken-"
_SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk; `environment` is what it was made in, None where that was not written down yet."""

    path: Path
    step: int
    state: Mapping[str, Any]
    environment: Mapping[str, Any] | None

    def tensors(self, file_name: str) -> dict[str, Tensor]:
        """Return the tensors of one of its files, on the CPU."""
        from safetensors.torch import load_file

        loaded: dict[str, Tensor] = load_file(self.path / file_name)
        return loaded


def save_checkpoint(
    run: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    identity: Mapping[str, Any],
) -> Path:
    """Write the checkpoint of `step` and return its folder; `tensors` is file name -> tensors.

    `identity` (run id, fingerprint, environment) goes into the manifest. Raises RunError when the disk is full or
    fails; then no folder of that name is left, and older checkpoints are untouched.
    """
    parent = run / layout.CHECKPOINTS
    final = parent / layout.checkpoint_name(step)
    temporary = parent / f"{_TEMPORARY}{final.name}"
    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        clear_unfinished(run)
        temporary.mkdir(mode=0o700)
        files = {name: write_tensors(temporary / name, content) for name, content in tensors.items()}
        files[STATE] = write_bytes(temporary / STATE, _json(state))
        manifest = {"schema": _SCHEMA, "step": step, **identity, "files": {n: vars(w) for n, w in files.items()}}
        write_bytes(temporary / layout.MANIFEST, _json(manifest))
        fsync_folder(temporary)
        temporary.rename(final)
        fsync_folder(parent)
    except OSError as error:
        with suppress(OSError):
            shutil.rmtree(temporary, ignore_errors=True)
        raise _save_error(step, run, error) from error
    return final


def newest_checkpoint(run: Path, on_broken: Callable[[Path, str], None]) -> Checkpoint | None:
    """Return the newest whole checkpoint, None when there is none.

    Newer ones that are not whole are renamed `broken-step-…`, and `on_broken(new path, what is wrong)` is called.
    """
    for path in reversed(layout.checkpoints(run)):
        problem = find_damage(path)
        if not problem:
            return open_checkpoint(path)
        on_broken(_quarantine(path), problem)
    return None


def open_checkpoint(path: Path) -> Checkpoint:
    """Return a checkpoint that is known to be whole."""
    state = json.loads((path / STATE).read_bytes())
    manifest = json.loads((path / layout.MANIFEST).read_bytes())
    return Checkpoint(path, int(state["step"]), state, manifest.get("environment"))


def find_damage(path: Path) -> str:
    """Return what is wrong with a checkpoint's files, "" when all are as the manifest says."""
    try:
        manifest = json.loads((path / layout.MANIFEST).read_bytes())
        files = {name: Written(int(file["size"]), str(file["sha256"])) for name, file in manifest["files"].items()}
        step = int(manifest["step"])
    except FileNotFoundError:
        return f"it has no {layout.MANIFEST}: writing it was cut short"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its {layout.MANIFEST} cannot be read ({type(error).__name__})"
    if step != layout.checkpoint_step(path):
        return f"its {layout.MANIFEST} is of step {step}"
    if missing := {WEIGHTS, OPTIMIZER, STATE} - set(files):
        return f"its {layout.MANIFEST} does not list {sorted(missing)[0]}"
    for name, expected in files.items():
        if problem := _file_damage(path / name, expected):
            return f"{name} {problem}"
    return ""


def rotate(run: Path, keep_last: int, best_step: int | None) -> list[Path]:
    """Delete old checkpoints; return what was deleted. By step, never by clock.

    Kept: the newest `keep_last`, the best one, and the newest that is whole. When the newest is not whole, nothing
    is deleted: it may be that the one before is all there is.
    """
    found = layout.checkpoints(run)
    old = [path for path in found[:-keep_last] if layout.checkpoint_step(path) != best_step]
    if not old or find_damage(found[-1]):
        return []
    for path in old:
        # Renamed first, so that a kill while deleting leaves no half checkpoint under a checkpoint's name.
        doomed = path.rename(path.with_name(f"{_TEMPORARY}deleted-{path.name}"))
        shutil.rmtree(doomed, ignore_errors=True)
    return old


def clear_unfinished(run: Path) -> None:
    """Remove what a kill during a save or a deletion left behind."""
    for path in (run / layout.CHECKPOINTS).glob(f"{_TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)


def _file_damage(path: Path, expected: Written) -> str:
    try:
        size = path.stat().st_size
        if size != expected.size:
            return f"has {size} bytes instead of {expected.size}"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if digest == expected.sha256 else "has other content than was written"


def _quarantine(path: Path) -> Path:
    number = 1
    while (broken := path.with_name(f"{_BROKEN}{path.name}-{number}")).exists():
        number += 1
    return path.rename(broken)


def _save_error(step: int, run: Path, error: OSError) -> RunError:
    parent, resume = run / layout.CHECKPOINTS, f"`hftune resume {lasting_name(run)}`"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(parent).free / 2**20 if parent.exists() else 0
        return RunError(
            f"the disk is full: the checkpoint of step {step} was not saved ({free:.0f} MB free at {parent})",
            hint=f"Older checkpoints are intact. Make room, then {resume} goes on from the newest of them.",
        )
    return RunError(
        f"the checkpoint of step {step} was not saved: {error.strerror or error}",
        hint=f"Look at {parent}; then {resume} goes on from the newest checkpoint.",
    )


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
