"""The learning rate as a function of the step: no state, so nothing to save or replay.

Shapes are those of transformers' `get_scheduler` with its default options (compared in tests/unit/test_schedule.py).
"""

from __future__ import annotations

import math


def warmup_count(warmup_steps: float, total_steps: int) -> int:
    """Return the steps of warm-up; a value below 1 is a share of all steps, rounded up."""
    return math.ceil(warmup_steps * total_steps) if warmup_steps < 1 else int(warmup_steps)


def learning_rate(kind: str, step: int, *, peak: float, warmup: int, total: int) -> float:
    """Return the learning rate of the optimizer step that follows `step` finished ones."""
    if kind == "inverse_sqrt":
        return peak * _inverse_sqrt(step, warmup)
    if step < warmup:
        return peak * step / max(1, warmup)
    done = (step - warmup) / max(1, total - warmup)  # share of the way after warm-up
    if kind == "constant":
        return peak
    if kind == "cosine":
        return peak * max(0.0, 0.5 * (1.0 + math.cos(math.pi * done)))
    if kind == "polynomial":
        # power 1 down to 1e-7 rather than 0, as transformers has it
        return 1e-7 if done > 1 else (peak - 1e-7) * (1 - done) + 1e-7
    if kind == "linear":
        return peak * max(0.0, 1 - done)
    raise ValueError(f"no learning-rate schedule named {kind!r}")


def _inverse_sqrt(step: int, warmup: int) -> float:
    if step < warmup:
        return step / max(1, warmup)
    timescale = warmup or 10_000
    return 1.0 / math.sqrt((step + timescale - warmup) / timescale)
