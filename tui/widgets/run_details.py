"""What stands beside the list of runs on a wide terminal: the run under the cursor, in a few words."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from textual.content import Content

from hftune.figures import duration, figure

from ..drawing import Part, line, plain
from ..folder import RunRow
from ..followed import EventLine, FollowedRun
from . import run_columns

LABEL_COLUMNS = 9
LONGEST_VALUE = 22  # of a model or a file: what is longer is shown by its last name
# key of the recipe -> what it is called here; the first that is there
SHOWN = (
    ("task.name", "task"), ("task", "task"), ("model.id", "model"), ("model.architecture", "model"), ("model", "model"),
    ("data.source", "data"), ("data.files.train", "data"), ("data.files", "data"), ("method.name", "method"),
    ("method", "method"),
)  # fmt: skip
SHOWN_LINES = 8
LEVELS = {"error": "$error", "warning": "$warning", "strong": "bold", "quiet": "$muted", "info": "$muted"}
STATUS_STYLES = {"working": "$primary", "waiting": "$warning", "done": "$success", "wrong": "$error", "muted": "$muted"}


def details(row: RunRow, run: FollowedRun | None, facts: Mapping[str, str], now: float) -> Content:
    """Return what is known of a run: its state, its recipe, its best figure, its last lines."""
    heading = line((row.short, "bold"))
    status = line((run_columns.status_text(row), STATUS_STYLES[run_columns.status_kind(row.status)]))
    pairs = [*_recipe(facts), *_state(row, now)]
    lines: Sequence[EventLine] = ()
    if run is not None:
        with run.lock:
            best, lines = dict(run.following.best), list(run.lines)[-SHOWN_LINES:]
            reading = run.loading
        pairs += _best(best)
        if reading:
            pairs.append(("events", "reading them…"))
    shown = [heading, status, line(""), *(_pair(label, value) for label, value in pairs if value)]
    if why := run_columns.note(row):
        shown += [line(""), plain(why, "$error" if run_columns.status_kind(row.status) == "wrong" else "")]
    if lines:
        shown += [line(""), line(("newest lines first", "$muted")), *map(_event_line, reversed(lines))]
    return Content("\n").join(shown)


def _recipe(facts: Mapping[str, str]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for key, label in SHOWN:
        value = facts.get(key, "null")
        if label not in found and value not in ("", "null"):
            found[label] = value if len(value) <= LONGEST_VALUE else value.rpartition("/")[2]
    return list(found.items())


def _state(row: RunRow, now: float) -> list[tuple[str, str]]:
    state = row.state
    if state is None:
        return []
    attempt = f"{state.attempt}" if state.attempt > 1 else ""
    eta = duration(row.eta_seconds) if row.eta_seconds is not None else ""
    started = run_columns.started(state.created)
    host = state.host if row.active else ""
    return [
        ("step", run_columns.progress(row)), ("ETA", eta), ("loss", "" if row.loss is None else figure(row.loss)),
        ("started", started), ("attempt", attempt), ("on", host),
    ]  # fmt: skip


def _best(best: Mapping[str, object]) -> list[tuple[str, str]]:
    name, value, step = best.get("metric"), best.get("value"), best.get("step")
    if not isinstance(name, str) or not isinstance(value, int | float):
        return []
    return [("best", f"{name} {figure(value)}{f'@{step}' if isinstance(step, int) else ''}")]


def _pair(label: str, value: str) -> Content:
    parts: list[Part] = [(f"{label:<{LABEL_COLUMNS}}", "$muted"), value]
    return line(*parts)


def _event_line(one: EventLine) -> Content:
    try:
        clock = time.strftime("%H:%M:%S ", time.localtime(one.time))
    except (OverflowError, ValueError, OSError):  # an event file that a hand has edited
        clock = ""
    return line((clock, "$muted"), (one.text, LEVELS.get(one.level, "")))
