"""What a row of the list of runs says at which width. No widget is drawn here."""

from __future__ import annotations

import time
from typing import NamedTuple

from hftune.figures import ago, count, duration, figure
from hftune.sanitize import pad, sanitize

from ..folder import RunRow
from ..standing import MARKS

NEWER = "written by a later hftune: what this one knows of it is shown"

STATUS, PROGRESS, FIGURE, TIME, CREATED = 13, 11, 15, 10, 16
LEFT = 2  # the cursor and the mark
LEAST_NAME, MOST_NAME = 8, 40
WITH_NOTE, WITH_CREATED = 105, 135  # content columns of a terminal of 110 and of 140


class Columns(NamedTuple):
    """How wide each column is; 0 for one that is not shown."""

    name: int
    status: int
    progress: int
    figure: int
    time: int
    note: int
    created: int


class Cell(NamedTuple):
    """A piece of a row in exactly its columns, and what kind of text it is."""

    text: str
    kind: str


def columns_for(width: int) -> Columns:
    """Return the columns that fit in `width`; what matters least goes first."""
    created = CREATED if width >= WITH_CREATED else 0
    widths = {"status": STATUS, "progress": PROGRESS, "figure": FIGURE, "time": TIME, "created": created}

    def room() -> int:
        return width - LEFT - sum(widths.values()) - sum(map(bool, widths.values()))

    for spare in ("figure", "progress", "time"):
        if room() < LEAST_NAME:
            widths[spare] = 0
    name, note = max(1, min(room(), MOST_NAME)), 0
    if width >= WITH_NOTE:
        name = min(name, max(24, room() * 2 // 5))
        note = room() - name - 1
    return Columns(name=name, note=note, **widths)


def heading(columns: Columns) -> str:
    """Return the line over the rows."""
    titles = ("RUN", "STATUS", "STEP", "LOSS OR BEST", "AGE OR ETA", "WHAT", "STARTED")
    shown = [pad(title, width) for title, width in zip(titles, columns, strict=True) if width]
    return " " * LEFT + " ".join(shown)


def cells(row: RunRow, columns: Columns, now: float) -> list[Cell]:
    """Return a row's cells, the name first, each in exactly its columns."""
    name = Cell(pad(sanitize(row.short), columns.name), "name")
    word = Cell(pad(status_text(row), columns.status), status_kind(row.status))
    if row.state is None:
        rest = sum(columns[2:]) + sum(map(bool, columns[2:])) - 1
        return [name, word, *([Cell(pad(sanitize(row.problem), rest), "muted")] if rest > 0 else [])]
    texts = (progress(row), best(row), age_or_eta(row, now), note(row), started(row.state.created))
    kinds = ("", "", "muted", "muted", "muted")
    shown = zip(texts, kinds, columns[2:], strict=True)
    return [name, word, *(Cell(pad(sanitize(text), width), kind) for text, kind, width in shown if width)]


def status_text(row: RunRow) -> str:
    """Return a status with its mark; `↑` stands at one that a later hftune wrote."""
    return f"{MARKS.get(row.status, '·')} {sanitize(row.status)}{' ↑' if row.newer else ''}"


def status_kind(status: str) -> str:
    """Return which kind of text a status is: working, waiting, done, wrong or muted."""
    if status in ("training", "evaluating", "preparing"):
        return "working"
    if status in ("queued", "paused"):
        return "waiting"
    if status in ("failed", "lost", "unreadable"):
        return "wrong"
    return "done" if status == "done" else "muted"


def progress(row: RunRow) -> str:
    """Return how far a run is: `315/500 63%`, shorter where that is too long."""
    state = row.state
    if state is None or not state.total_steps:
        return f"{state.step:,}" if state and state.step else ""
    steps = f"{state.step:,}/{state.total_steps:,}"
    share = f" {100 * state.step // state.total_steps}%" if row.active else ""
    for text in (steps + share, steps, f"{count(state.step)}/{count(state.total_steps)}"):
        if len(text) <= PROGRESS:
            return text
    return share.strip() or f"{100 * state.step // state.total_steps}%"


def best(row: RunRow) -> str:
    """Return the loss of a run that trains, else the figure that picked its best model."""
    if row.loss is not None:
        return f"loss {figure(row.loss)}"
    if row.state is None or not row.state.metric:
        return ""
    value = figure(row.state.metric_value)
    room = FIGURE - 1 - len(value)
    name = row.state.metric
    return f"{name if len(name) <= room else f'{name[: room - 1]}…'} {value}"


def age_or_eta(row: RunRow, now: float) -> str:
    """Return how long a run that trains has to go, else how long ago it was started."""
    if row.eta_seconds is not None:
        return f"ETA {duration(row.eta_seconds)}"
    if row.state is None or not row.state.created:
        return ""
    return ago(now - row.state.created)


def note(row: RunRow) -> str:
    """Return what a run is doing, or why it has ended or cannot be read."""
    state = row.state
    if state is None:
        return row.problem
    said = state.phase if row.active and state.phase not in ("", state.status) else ""
    said = said or state.reason
    return f"{said} ({NEWER})" if row.newer and said else NEWER if row.newer else said


def started(created: float) -> str:
    """Return a time as `2026-11-25 05:48`, on this machine's clock."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(created)) if created else ""
    except (OverflowError, ValueError, OSError):
        return ""
