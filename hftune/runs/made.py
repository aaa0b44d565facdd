"""The runs in a folder by what they train, so that none is trained twice; and for how long one has worked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from hftune.runs import layout
from hftune.runs.events import Event
from hftune.runs.reader import RunSummary, list_runs, read_events
from hftune.runs.state import ACTIVE

AUTO = "auto"  # a learning rate that each run looks for
RATE = re.compile(r"^  learning_rate: (.*)$", re.MULTILINE)
# How good a compressed model has to be changes nothing of what it is.
BOUND = re.compile(r"^  max_loss: .*\n", re.MULTILINE)


class MadeRuns:
    """The runs in a folder, found by a resolved recipe's text and the fingerprint of the data."""

    def __init__(self, runs_dir: Path, data: str | None) -> None:
        """`data`: the fingerprint of the data that runs must have been trained on; None: whichever."""
        self._data = data
        self._by_recipe: dict[str, list[tuple[RunSummary, str]]] = {}
        for run in list_runs(runs_dir):
            if (what := _what_it_trains(run.path)) is not None:
                recipe, rate = what
                self._by_recipe.setdefault(recipe, []).append((run, rate))

    def find(self, recipe: str, model: str | None = None) -> RunSummary | None:
        """Return the run of a resolved recipe's text: a done one, else one that is made, else the newest; or None.

        What a run is called does not matter. One whose recipe was changed on the way is another run. `model`: the
        fingerprint of the model that it must have begun with; None: whichever.
        """
        what, wanted = _identity(recipe)
        found = [
            run
            for run, rate in self._by_recipe.get(what, ())
            if run.state is not None
            and (rate == wanted or (wanted == AUTO and _rate_was_found(run.path)))
            and (self._data is None or data_of(run.path) in (None, self._data))
            and (model is None or _environment(run.path, "model") in (None, model))
        ]
        done = [run for run in found if run.state is not None and run.state.status == "done"]
        return next(iter(done or [run for run in found if is_made(run)] or found), None)


def data_of(run: Path) -> str | None:
    """Return the fingerprint of the data that a run was trained on; None before it has looked at them."""
    return _environment(run, "data")


def is_made(run: RunSummary) -> bool:
    """Tell whether there is nothing left to do for a run's model: it is done, or failed by what it has lost alone."""
    if run.state is None or run.state.status in ACTIVE:
        return False
    return run.state.status == "done" or was_compared(run.path)


def was_compared(run: Path) -> bool:
    """Tell whether a compressed run's newest attempt made its model and compared it, whatever came of that."""
    # Each attempt writes them in this order. A resumed one that got no further has left an old model.
    files = [run / name for name in (layout.ENVIRONMENT, layout.MODEL, layout.COMPRESSION)]
    try:
        times = [path.stat().st_mtime_ns for path in files]
    except OSError:
        return False
    return times == sorted(times)


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


def _environment(run: Path, key: str) -> str | None:
    try:
        found = json.loads((run / layout.ENVIRONMENT).read_bytes()).get(key)
    except (OSError, ValueError, AttributeError):
        return None
    return str(found)


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
    return BOUND.sub("", RATE.sub("", text)), rate[1] if rate else ""


def _rate_was_found(run: Path) -> bool:
    """Tell whether a run's learning rate was looked for before training, and then written into its recipe."""
    return any(event.kind == "lr_find" for event in read_events(run))
