"""The event stream of a run: every kind, its fields, and how lines become events and series.

One JSON object a line in `events.jsonl`: `{v, seq, attempt, time, kind, data}`. `seq` counts from 0 over the whole
run, `attempt` from 1 (each resume is a new attempt), `time` is seconds since the epoch (UTC). Readers ignore kinds
they do not know, drop a torn last line, and keep the last attempt for each (step, series). JSON has no NaN: such a
figure is null and its name is listed in `data.nan`.

Figures that depend only on recipe, data, machine and seed stand in `metrics`; what a clock or a meter gave stands in
`timing`. So a resumed run has the same rows (see `rows`) as one never interrupted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1

# kind -> fields of data. Frozen: add kinds and fields, never change the meaning of one that stands here.
KINDS: dict[str, tuple[str, ...]] = {
    "status": ("status", "reason"),
    "phase": ("phase", "detail"),
    # Work with a known size inside a phase (download, tokenizing, evaluation); total is null when unknown.
    "progress": ("phase", "done", "total", "unit"),
    # What will be trained, once data and model are known.
    "plan": (
        "total_steps",
        "steps_per_epoch",
        "num_train_epochs",
        "train_examples",
        "examples",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "processes",
        "parameters",
        "trainable_parameters",
        "device",
        "precision",
        "threads",
        "learning_rate",
        "metric",
    ),
    # The range test of `learning_rate: auto`. candidates: rule -> rate; losses and averages: null where not finite.
    "lr_find": (
        "learning_rate",
        "candidates",
        "rates",
        "losses",
        "average_rates",
        "averages",
        "diverged_at",
    ),
    # metrics: loss, learning_rate, grad_norm. timing: tokens_per_second, samples_per_second, memory_bytes,
    # elapsed_seconds, eta_seconds, eta_error_seconds, energy_joules (of all attempts), energy_counted (else estimated).
    "train": ("step", "epoch", "metrics", "timing", "nan"),
    # metrics: loss and the task's figures. timing: seconds. examples: rows evaluated.
    "eval": ("step", "epoch", "split", "examples", "metrics", "timing", "nan"),
    # What this attempt has used up to `step` (hftune/energy/usage.py), and what the whole run was estimated to use.
    "energy": ("step", "usage", "estimate"),
    "best": ("step", "metric", "value"),
    "checkpoint": ("step", "path", "bytes", "seconds", "reason"),
    "resume": ("step", "from", "quarantined", "inexact"),
    # level: info, warning, error. code is stable (for example "truncated", "out-of-memory", "nan-loss").
    "alert": ("level", "code", "message", "hint", "step"),
    # How a compressed run's model does beside its parent's: what compression.json holds (runs/compression.py).
    "compared": (
        "method",
        "parent",
        "split",
        "rows",
        "metric",
        "value",
        "parent_value",
        "loss",
        "relative",
        "agreement",
        "p_value",
        "bytes",
        "parent_bytes",
        "parameters",
        "parent_parameters",
    ),
    "result": ("metrics", "best_step", "global_step"),
}


@dataclass(frozen=True)
class Event:
    """One line of the stream."""

    seq: int
    attempt: int
    time: float
    kind: str
    data: Mapping[str, Any]
    v: int = VERSION

    def to_line(self) -> str:
        """Return the event as one line of JSON with its newline; NaN and infinities become null, named in `nan`."""
        record = {"v": self.v, "seq": self.seq, "attempt": self.attempt, "time": self.time, "kind": self.kind}
        return json.dumps({**record, "data": _finite(self.data)}, ensure_ascii=False, allow_nan=False) + "\n"


def parse_line(line: str | bytes) -> Event | None:
    """Return the event on a line, or None for a torn or foreign one."""
    try:
        record = json.loads(line)
        return Event(
            seq=int(record["seq"]),
            attempt=int(record["attempt"]),
            time=float(record["time"]),
            kind=str(record["kind"]),
            data=record["data"] if isinstance(record["data"], dict) else {},
            v=int(record["v"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def rows(events: Iterable[Event]) -> list[tuple[int, str, float | None]]:
    """Return sorted (step, series, value) rows of the deterministic figures, the last attempt winning.

    Series are named `train/loss`, `validation/accuracy` …; a NaN is None. A later attempt that resumed from step s
    replaces every row after s, also where it has not written that step again yet.
    """
    kept: dict[tuple[int, str], float | None] = {}
    for event in events:
        if event.kind == "resume":
            resumed_from = int(event.data.get("step") or 0)
            kept = {key: value for key, value in kept.items() if key[0] <= resumed_from}
        elif event.kind in ("train", "eval"):
            prefix = "train" if event.kind == "train" else str(event.data.get("split", "validation"))
            for name, value in (event.data.get("metrics") or {}).items():
                kept[int(event.data["step"]), f"{prefix}/{name}"] = value
    return [(step, series, value) for (step, series), value in sorted(kept.items(), key=lambda item: item[0])]


def _finite(data: Mapping[str, Any]) -> dict[str, Any]:
    """Replace non-finite floats by None at both levels of `data` and list their names under `nan`."""
    lost: list[str] = []

    def clean(mapping: Mapping[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in mapping.items():
            if isinstance(value, float) and not math.isfinite(value):
                lost.append(key)
                result[key] = None
            else:
                result[key] = clean(value) if isinstance(value, Mapping) else value
        return result

    cleaned = clean(data)
    return {**cleaned, "nan": lost} if lost else cleaned
