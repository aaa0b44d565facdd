"""A run as the app follows it: what its events say, its curves, its last lines. Written by the reader thread alone."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hftune.errors import RunError
from hftune.runs import layout
from hftune.runs.events import VERSION, Event, parse_line
from hftune.runs.following import Following, Level, line_of, mapping, whole
from hftune.runs.reader import EventTail, is_lost, load_state
from hftune.runs.state import SCHEMA, RunState

from .series import Series

PIECE_BYTES = 1 << 16  # what is taken in at a time: a reader of the screen waits for one piece at most
SHOWN_LINES = 1000
SHOWN_ALERTS = 200
SHOWN_GAPS = 1000
MOST_SERIES = 64
TRAIN_LINE_SECONDS = 1.0  # a step can take a millisecond: a line for each would be a flood
TIMED = ("tokens_per_second", "memory_bytes")


@dataclass(frozen=True)
class EventLine:
    """A line of the run's story: when (seconds since the epoch), which kind of event, what it says, how loud."""

    time: float
    kind: str
    text: str
    level: Level


class FollowedRun:
    """Read its fields under `lock`; `version` grows with every change.

    `series` has `train/loss`, `train/learning_rate`, `train/grad_norm`, `timing/tokens_per_second` …,
    `validation/loss` and so on. `checkpoints` are those on disk, `nan_steps` those whose loss was not finite.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.version = 0
        self.state: RunState | None = None
        self.problem = ""
        self.newer = False  # written by a later hftune: what is known of it is shown
        self.loading = True
        self.loaded = 0.0  # share of the events that has been read while `loading`
        self._clock = clock
        self._tail = EventTail(path)
        self._restarts = 0
        self._mark: tuple[int, ...] | None = None
        self._written: RunState | None = None  # the state as it stands in the file, never lost
        self._state_problem = self._events_problem = ""
        self._clear()

    def _clear(self) -> None:
        self.following = Following()
        self.series: dict[str, Series] = {}
        self.lines: deque[EventLine] = deque(maxlen=SHOWN_LINES)
        self.alerts: deque[EventLine] = deque(maxlen=SHOWN_ALERTS)
        self.checkpoints: list[int] = []
        self.nan_steps: list[int] = []
        self._seconds = self._tokens = self._base = self._elapsed = self._aside = 0.0
        self._alerted = False
        self._last_train = float("-inf")

    def poll_state(self) -> None:
        """Read state.json when it has changed, see whether the process still lives, and which checkpoints there are."""
        mark = mark_of(self.path)
        if mark is None or mark != self._mark:
            self._mark = mark
            try:
                self._written, self._state_problem = load_state(self.path), ""
            except RunError as error:
                self._written, self._state_problem = None, error.message
        state, problem = self._written, self._state_problem or self._events_problem
        if state is not None and is_lost(state, self._clock()):
            state = replace(state, status="lost")
        checkpoints = _checkpoints_on_disk(self.path)
        with self.lock:
            if (state, problem, checkpoints) == (self.state, self.problem, self.checkpoints):
                return
            self.state, self.problem, self.checkpoints = state, problem, checkpoints
            self.newer = self.newer or (state is not None and state.schema > SCHEMA)
            self.version += 1

    def poll_events(self) -> bool:
        """Take in the next piece of the events; return whether more is waiting."""
        tail = self._tail
        lines = self._read_lines()
        events = [event for line in lines if (event := parse_line(line)) is not None]
        restarted, self._restarts = tail.restarts != self._restarts, tail.restarts
        behind = tail.offset < tail.size and not self._events_problem
        if not (events or restarted or self.loading):
            return behind
        with self.lock:
            if restarted:
                self._clear()
            for event in events:
                self._take(event)
            if self.loading:
                self.loaded = tail.offset / tail.size if tail.size else 1.0
                self.loading = behind
            self.version += 1
        return behind

    def _read_lines(self) -> list[bytes]:
        self._events_problem = ""
        try:
            return self._tail.poll_lines(PIECE_BYTES)
        except OSError as error:
            self._events_problem = f"{self.path / layout.EVENTS} cannot be read: {error.strerror}"
            return []

    def _take(self, event: Event) -> None:
        self.newer = self.newer or event.v > VERSION
        self.following.take(event)
        data = event.data
        match event.kind:
            case "train":
                self._take_train(event, data)
            case "eval":
                self._aside += number(mapping(data.get("timing")).get("seconds"))
                self._add(str(data.get("split") or "validation"), whole(data.get("step")), mapping(data.get("metrics")))
            case "checkpoint":
                self._aside += number(data.get("seconds"))
            case "resume":
                self._cut(whole(data.get("step")))
            case "alert" if data.get("code") == "nan-loss":
                self._alerted = True
                self._mark_gap(whole(data.get("step")))
        self._write_line(event)

    def _take_train(self, event: Event, data: Mapping[str, Any]) -> None:
        step, metrics, timing = whole(data.get("step")), self.following.metrics, self.following.timing
        elapsed = number(timing.get("elapsed_seconds"))
        if elapsed < self._elapsed:  # another attempt
            self._base, self._elapsed, self._aside = self._seconds, 0.0, 0.0
        training = max(0.0, elapsed - self._elapsed - self._aside)
        self._tokens += training * number(timing.get("tokens_per_second"))
        self._seconds, self._elapsed, self._aside = self._base + elapsed, elapsed, 0.0
        self._add("train", step, metrics)
        self._add("timing", step, {name: timing[name] for name in TIMED if name in timing})
        if "loss" in metrics and metrics["loss"] is None and not self._alerted:
            self._mark_gap(step)
        self._alerted = False

    def _add(self, prefix: str, step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if value.__class__ is not float:  # rare: an int, a null, or nothing that can be drawn
                if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                    continue
                value = None if value is None else number(value, float("nan"))
            series = self.series.get(f"{prefix}/{name}")
            if series is None:
                series = self._new_series(f"{prefix}/{name}")
            if series is not None:
                series.add(step, value, self._seconds, self._tokens)

    def _new_series(self, name: str) -> Series | None:
        if len(self.series) >= MOST_SERIES:
            return None
        return self.series.setdefault(name, Series())

    def _cut(self, step: int) -> None:
        """Go on from `step`: what an earlier attempt did after it has been undone."""
        for series in self.series.values():
            series.cut(step)
        self.nan_steps = [each for each in self.nan_steps if each <= step]
        ends = [series.last for series in self.series.values() if series.last is not None]
        last = max(ends, key=lambda point: point.step, default=None)
        self._seconds, self._tokens = (last.time, last.tokens) if last else (0.0, 0.0)
        self._base, self._elapsed, self._aside = self._seconds, 0.0, 0.0

    def _mark_gap(self, step: int) -> None:
        if self.nan_steps[-1:] != [step]:
            self.nan_steps.append(step)
        if len(self.nan_steps) > SHOWN_GAPS:
            self.nan_steps = self.nan_steps[::2]

    def _write_line(self, event: Event) -> None:
        if event.kind == "train":
            ended = 0 < self.following.total <= self.following.step
            if event.time - self._last_train < TRAIN_LINE_SECONDS and not ended:
                return
            self._last_train = event.time
        text, level = line_of(event, self.following)
        if text:
            line = EventLine(event.time, event.kind, text, level)
            self.lines.append(line)
            if event.kind == "alert":
                self.alerts.append(line)


def mark_of(run: Path | str) -> tuple[int, ...] | None:
    """Return what changes whenever state.json is replaced; None when there is none."""
    try:
        found = os.stat(f"{run}/{layout.STATE}")  # noqa: PTH116 - for thousands of runs, again and again
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _checkpoints_on_disk(run: Path) -> list[int]:
    try:
        names = os.listdir(run / layout.CHECKPOINTS)  # noqa: PTH208 - twice a second
    except OSError:
        return []
    return sorted(step for name in names if (step := layout.checkpoint_step(Path(name))) is not None)


def number(value: Any, otherwise: float = 0.0) -> float:
    """Return a figure of an event as a float, `otherwise` when it is none."""
    try:
        return float(value) if isinstance(value, int | float) and value == value else otherwise
    except OverflowError:
        return otherwise
