"""The runs of a ladder: which were made already, what one cost, what it answers to the test texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hftune.errors import DataError
from hftune.inference.loading import ADAPTER_CONFIG
from hftune.inference.predictor import Predictor
from hftune.inference.statistics import Array
from hftune.ladder.folder import Result
from hftune.ladder.rows import Rows
from hftune.ladder.rungs import Trial
from hftune.modeling.resolve import resolve_model
from hftune.recipe.load import dump_recipe
from hftune.recipe.schema import Recipe
from hftune.runs import layout
from hftune.runs.events import Event
from hftune.runs.reader import RunSummary, list_runs, read_events

WEIGHTS = ("*.safetensors", "*.bin")
AUTO = "auto"  # a learning rate that each run looks for
RATE = re.compile(r"^  learning_rate: (.*)$", re.MULTILINE)


class MadeRuns:
    """The runs in a folder by what they train, so that none is trained twice."""

    def __init__(self, runs_dir: Path, rows: Rows) -> None:
        self._data = rows.fingerprint
        self._by_recipe: dict[str, list[tuple[RunSummary, str]]] = {}
        for run in list_runs(runs_dir):
            if (what := _what_it_trains(run.path)) is not None:
                recipe, rate = what
                self._by_recipe.setdefault(recipe, []).append((run, rate))

    def find(self, trial: Trial) -> RunSummary | None:
        """Return the run of a trial's recipe on these data: a finished one, else the newest; None when there is none.

        What a run is called does not matter. One whose recipe was changed on the way is another run.
        """
        assert trial.recipe is not None
        recipe, wanted = _identity(dump_recipe(trial.recipe))
        found = [
            run
            for run, rate in self._by_recipe.get(recipe, ())
            if run.state is not None
            and (rate == wanted or (wanted == AUTO and _rate_was_found(run.path)))
            and _data_of(run.path) in (None, self._data)
        ]
        done = [run for run in found if run.state is not None and run.state.status == "done"]
        return next(iter(done or found), None)


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
        bytes=_size(run / layout.MODEL, ("*",)),
        base_bytes=_base_bytes(trial.recipe, run),
        metrics=dict(rows.figures("test", logits)),
        detail=_ended(events),
    )


def answers(run: Path, rows: Rows) -> Array:
    """Return a finished run's logits [test rows, outputs] float64, in fp32 as `evaluate` and `predict` compute them."""
    predictor = Predictor.load(run)
    if rows.names and predictor.labels != list(rows.names):
        raise DataError(f"{run.name} was trained on other labels: {', '.join(predictor.labels)}", key="data.label")
    return np.array([each.logits for each in predictor.classify(rows.texts["test"])], dtype=np.float64)


def active_seconds(events: Sequence[Event]) -> float:
    """Return for how long a run was prepared, trained and evaluated, over all attempts; without waiting in a queue.

    What a kill has undone was spent all the same, so it counts.
    """
    seconds, status = 0.0, ""
    for event, following in zip(events, [*events[1:], None], strict=True):
        if event.kind == "status":
            status = str(event.data.get("status"))
        if following is not None and following.attempt == event.attempt and status != "queued":
            seconds += max(0.0, following.time - event.time)
    return seconds


def _ended(events: Sequence[Event]) -> dict[str, Any]:
    """Return at which step the best model was found, and how many steps were taken."""
    result = next((event.data for event in reversed(events) if event.kind == "result"), {})
    return {name: result[name] for name in ("best_step", "global_step") if name in result}


def _what_it_trains(run: Path) -> tuple[str, str] | None:
    """Return the identity of a run's recipe; None where that was changed on the way, or cannot be read."""
    if any(run.glob("recipe.attempt-*.yaml")):
        return None
    try:
        return _identity((run / layout.RECIPE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _identity(recipe: str) -> tuple[str, str]:
    """Return a resolved recipe's text without name and description, which come before its task; and its rate."""
    text = recipe.partition("\ntask:")[2]
    rate = RATE.search(text)
    return RATE.sub("", text), rate[1] if rate else ""


def _rate_was_found(run: Path) -> bool:
    """Tell whether a run's learning rate was looked for before training, and then written into its recipe."""
    return any(event.kind == "lr_find" for event in read_events(run))


def _data_of(run: Path) -> str | None:
    """Return the fingerprint of the data that a run was trained on; None before it has looked at them."""
    try:
        found = json.loads((run / layout.ENVIRONMENT).read_bytes()).get("data")
    except (OSError, ValueError, AttributeError):
        return None
    return str(found)


def _base_bytes(recipe: Recipe, run: Path) -> int:
    """Return the size of the pretrained weights that a run's model is nothing without; 0 when it is whole."""
    if not (run / layout.MODEL / ADAPTER_CONFIG).is_file():
        return 0
    return _size(resolve_model(recipe.model, tokenizer=False).folder, WEIGHTS)


def _size(folder: Path, patterns: Sequence[str]) -> int:
    paths = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    return sum(path.stat().st_size for path in paths)
