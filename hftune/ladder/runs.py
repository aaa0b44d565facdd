"""The runs of a ladder: what one cost, what it answers to the test texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hftune.errors import DataError
from hftune.inference.predictor import Predictor
from hftune.inference.sizes import base_bytes, model_bytes
from hftune.inference.statistics import Array
from hftune.ladder.folder import Result
from hftune.ladder.rows import Rows
from hftune.ladder.rungs import Trial
from hftune.runs.events import Event
from hftune.runs.made import active_seconds
from hftune.runs.reader import read_events


def result_of(trial: Trial, run: Path, rows: Rows, logits: Array) -> Result:
    """Return what came of a finished run: what it cost, and its figures on test by its logits [test rows, outputs]."""
    assert trial.recipe is not None
    events = read_events(run)
    plan: Mapping[str, Any] = next((event.data for event in reversed(events) if event.kind == "plan"), {})
    return Result(
        rung=trial.rung,
        seed=trial.seed,
        run=run.name,
        seconds=active_seconds(events),
        parameters_trained=int(plan.get("trainable_parameters") or 0),
        parameters=int(plan.get("parameters") or 0),
        bytes=model_bytes(run),
        base_bytes=base_bytes(trial.recipe, run),
        metrics=dict(rows.figures("test", logits)),
        detail=_ended(events),
    )


def answers(run: Path, rows: Rows) -> Array:
    """Return a finished run's logits [test rows, outputs] float64, in fp32 as `evaluate` and `predict` compute them."""
    predictor = Predictor.load(run)
    if rows.names and predictor.labels != list(rows.names):
        raise DataError(f"{run.name} was trained on other labels: {', '.join(predictor.labels)}", key="data.label")
    return np.array([each.logits for each in predictor.classify(rows.texts["test"])], dtype=np.float64)


def _ended(events: Sequence[Event]) -> dict[str, Any]:
    """Return at which step the best model was found, and how many steps were taken."""
    result = next((event.data for event in reversed(events) if event.kind == "result"), {})
    return {name: result[name] for name in ("best_step", "global_step") if name in result}
