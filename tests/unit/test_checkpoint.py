"""Checkpoints: whole or not there, verified, rotated by step."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hftune.errors import RunError
from hftune.runs import layout
from hftune.training import checkpoint as checkpoints
from hftune.training.checkpoint import (
    OPTIMIZER,
    STATE,
    WEIGHTS,
    clear_unfinished,
    find_damage,
    newest_checkpoint,
    rotate,
    save_checkpoint,
)
from hftune.training.tensor_file import write_tensors

TENSORS = {
    WEIGHTS: {"layer.weight": torch.arange(6.0).reshape(2, 3)},
    OPTIMIZER: {"layer.weight/exp_avg": torch.full((2, 3), 0.5), "layer.weight/step": torch.tensor(3.0)},
}


def save(run: Path, step: int) -> Path:
    return save_checkpoint(run, step, TENSORS, {"step": step, "best": None}, {"run": run.name})


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / layout.CHECKPOINTS).iterdir())


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path):
    path = save(tmp_path, 5)
    assert sorted(file.name for file in path.iterdir()) == sorted([WEIGHTS, OPTIMIZER, STATE, layout.MANIFEST])
    found = newest_checkpoint(tmp_path, on_broken=pytest.fail)
    assert found is not None
    assert (found.path, found.step, found.state["best"]) == (path, 5, None)
    for name, tensors in TENSORS.items():
        loaded = found.tensors(name)
        assert loaded.keys() == tensors.keys()
        assert all(torch.equal(loaded[key], tensors[key]) for key in tensors)
    assert json.loads((path / layout.MANIFEST).read_text())["run"] == tmp_path.name


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool]
)
def test_tensor_files_are_plain_safetensors(tmp_path: Path, dtype: torch.dtype):
    tensors = {
        "scalar": torch.tensor(1).to(dtype),
        "empty": torch.zeros(0, 3).to(dtype),
        "turned": torch.arange(12).reshape(3, 4).to(dtype).t(),
    }
    written = write_tensors(tmp_path / "tensors.safetensors", tensors)
    assert written.size == (tmp_path / "tensors.safetensors").stat().st_size
    loaded = load_file(tmp_path / "tensors.safetensors")
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    assert all(loaded[name].dtype == dtype for name in tensors)


def test_no_pickle_is_written(tmp_path: Path):
    path = save(tmp_path, 1)
    assert not any(b"ctorch" in file.read_bytes() or file.suffix in (".pt", ".pkl") for file in path.iterdir())


def test_files_are_synced_before_the_manifest_and_the_manifest_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        calls.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)

    def recording_rename(source: Path, target: Path, **options: object) -> None:
        rename(source, target)
        calls.append(f"rename {Path(target).name}")

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "rename", recording_rename)
    save(tmp_path, 5)
    name = layout.checkpoint_name(5)
    assert calls == [
        f"sync {WEIGHTS}",
        f"sync {OPTIMIZER}",
        f"sync {STATE}",
        f"sync {layout.MANIFEST}",
        f"sync .writing-{name}",
        f"rename {name}",
        f"sync {layout.CHECKPOINTS}",
    ]


DAMAGES = {
    "other content": lambda path: (path / WEIGHTS).write_bytes(b"x" * (path / WEIGHTS).stat().st_size),
    "bytes instead of": lambda path: os.truncate(path / OPTIMIZER, 40),
    "is missing": lambda path: (path / STATE).unlink(),
    "no MANIFEST.json": lambda path: (path / layout.MANIFEST).unlink(),
    "cannot be read": lambda path: (path / layout.MANIFEST).write_text("{"),
    "is of step 3": lambda path: shutil.copy(path.with_name("step-00000003") / layout.MANIFEST, path),
    "does not list": lambda path: (path / layout.MANIFEST).write_text('{"step": 6, "files": {}}'),
}


@pytest.mark.parametrize("problem", DAMAGES)
def test_a_broken_newest_checkpoint_is_set_aside_and_the_one_before_used(tmp_path: Path, problem: str):
    save(tmp_path, 3)
    DAMAGES[problem](save(tmp_path, 6))
    broken: list[tuple[str, str]] = []
    found = newest_checkpoint(tmp_path, lambda path, why: broken.append((path.name, why)))
    assert found is not None
    assert found.step == 3
    ((name, why),) = broken
    assert name == "broken-step-00000006-1"
    assert problem in why
    assert names(tmp_path) == ["broken-step-00000006-1", "step-00000003"]


def test_without_a_whole_checkpoint_there_is_none(tmp_path: Path):
    assert newest_checkpoint(tmp_path, pytest.fail) is None
    for _ in range(2):
        (save(tmp_path, 3) / WEIGHTS).unlink()
        assert newest_checkpoint(tmp_path, lambda path, why: None) is None
    assert names(tmp_path) == ["broken-step-00000003-1", "broken-step-00000003-2"]


def test_rotation_keeps_the_newest_and_the_best_by_step(tmp_path: Path):
    for step in (10, 20, 30, 40, 100):
        save(tmp_path, step)
    os.utime(tmp_path / layout.CHECKPOINTS / layout.checkpoint_name(10))  # touched last: the clock does not count
    rotate(tmp_path, keep_last=2, best_step=20)
    assert names(tmp_path) == [layout.checkpoint_name(step) for step in (20, 40, 100)]


def test_rotation_deletes_nothing_while_the_newest_is_broken(tmp_path: Path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    (tmp_path / layout.CHECKPOINTS / layout.checkpoint_name(3) / WEIGHTS).unlink()
    assert rotate(tmp_path, keep_last=1, best_step=None) == []
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("failing", [WEIGHTS, OPTIMIZER, STATE, layout.MANIFEST])
def test_a_failed_save_leaves_older_checkpoints_and_no_half_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, number: int
):
    save(tmp_path, 3)
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == failing:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="step 6 was not saved") as caught:
        save(tmp_path, 6)
    assert ("disk is full" in caught.value.message) == (number != errno.EIO)
    assert "hftune resume" in caught.value.hint
    assert names(tmp_path) == [layout.checkpoint_name(3)]
    assert find_damage(tmp_path / layout.CHECKPOINTS / layout.checkpoint_name(3)) == ""


def test_a_really_full_disk_is_told_as_one(tmp_path: Path):
    """/dev/full fails every write with ENOSPC, as a full disk does."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    parent = tmp_path / layout.CHECKPOINTS
    parent.mkdir()

    def to_full_disk(path: Path, tensors: object) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    original = checkpoints.write_tensors
    checkpoints.write_tensors = to_full_disk  # type: ignore[assignment]
    try:
        with pytest.raises(RunError, match="disk is full"):
            save(tmp_path, 1)
    finally:
        checkpoints.write_tensors = original
    assert names(tmp_path) == []


def test_leftovers_of_a_kill_are_cleared_away(tmp_path: Path):
    save(tmp_path, 3)
    (tmp_path / layout.CHECKPOINTS / ".writing-step-00000006").mkdir()
    (tmp_path / layout.CHECKPOINTS / ".writing-step-00000006" / WEIGHTS).write_bytes(b"half")
    clear_unfinished(tmp_path)
    assert names(tmp_path) == [layout.checkpoint_name(3)]
    save(tmp_path, 6)
