"""Where a run computes: the accelerator or the CPU, with how many threads, and how much memory it takes."""

from __future__ import annotations

import ctypes
import os
import platform
from datetime import timedelta
from pathlib import Path

import psutil
import torch
from accelerate import Accelerator

from hftune.errors import UsageError
from hftune.recipe.schema import TrainingSection
from hftune.threads import available_cores
from hftune.training.processes import join_group

# Rank 0 evaluates while the others wait, which may take hours; a dead rank is noticed by its launcher, not by this.
_PATIENCE = timedelta(days=7)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt


def open_accelerator(training: TrainingSection, folder: Path | None = None) -> Accelerator:
    """Return the Accelerator of this process, with threads set; raises UsageError when the device is not there.

    Trackers write into `folder`/trackers. Mixed precision is precision.py's business, the model step.py's.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if training.device != "auto" and not available[training.device]:
        found = ", ".join(name for name, there in available.items() if there)
        raise UsageError(f"training.device: this machine has no {training.device}", hint=f"It has: {found}.")
    only_cpu = training.device == "cpu" or not (available["cuda"] or available["mps"])
    join_group("gloo" if only_cpu else "nccl", _PATIENCE)
    accelerator = Accelerator(
        cpu=only_cpu,
        log_with=list(training.report_to) if folder is not None and training.report_to else None,
        project_dir=folder / "trackers" if folder is not None else None,
    )
    torch.set_num_threads(training.threads or available_threads())  # after Accelerate, which sets them too
    keep_freed_memory()
    return accelerator


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step rather than give it back to the kernel.

    The gradient of an embedding table is larger than what glibc keeps: 47 MB were mapped, faulted in and zeroed anew at
    each step of a small BERT (11,447 page faults, 36 ms; now one fault). The peak stays the same, the bits do too.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def available_threads() -> int:
    """Return the threads one process should compute with: OMP_NUM_THREADS, or its share of the cores it may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def memory_in_use(device: torch.device) -> int:
    """Return bytes: the peak of tensors on an accelerator, else this process's resident memory."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a tensor did not fit; only CUDA has an error class for that."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def release_memory(device: torch.device) -> None:
    """Give cached blocks back, so that a smaller batch finds one piece of memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
