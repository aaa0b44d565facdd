"""`state.json`: what a run is doing now, replaced atomically so that no reader ever sees half of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA = 1

Status = Literal["queued", "preparing", "training", "evaluating", "paused", "done", "failed", "stopped", "lost"]

ACTIVE: frozenset[str] = frozenset({"queued", "preparing", "training", "evaluating"})
RESUMABLE: frozenset[str] = frozenset({"paused", "failed", "stopped", "lost"})


@dataclass(frozen=True)
class RunState:
    """The fields of state.json. `lost` is never written: a reader derives it from an active status and a dead process.

    `handed_over` is a run that waits for the process that will carry it out: a job just started (pid 0 until it has
    taken the run up), or the first process of a group (pid: the one that launches it).
    """

    status: Status
    phase: str = ""
    reason: str = ""
    attempt: int = 1
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    handed_over: bool = False
    process_started: float = 0.0  # see process.started: a reused pid is not the same process
    created: float = 0.0  # seconds since the epoch, UTC
    heartbeat: float = 0.0
    step: int = 0
    total_steps: int = 0
    exit_code: int | None = None
    metric: str = ""  # the figure that picks the best model, so that a list of runs reads nothing else
    metric_value: float | None = None
    schema: int = SCHEMA
