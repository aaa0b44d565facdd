"""Which devices a recipe will train on, told without loading torch: a waiting job should cost little."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def devices_of(device: str, processes: int = 1) -> list[str]:
    """Return the names of the queues to wait in, sorted so that two jobs never wait for each other.

    `auto` guesses an accelerator from the driver's files; when the guess is wrong the job only waits in another queue.
    """
    if device == "auto":
        device = _present()
    if device != "cuda":
        return [device]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    indices = visible.split(",") if visible else [str(index) for index in range(processes)]
    return sorted(f"cuda:{index.strip()}" for index in indices[:processes])


def _present() -> str:
    if sys.platform == "darwin":
        return "mps"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return "cuda" if Path("/proc/driver/nvidia/version").exists() and not hidden else "cpu"
