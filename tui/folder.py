"""The runs in a folder, looked at a little at a time: ten thousand of them cost under one percent of a core.

A run whose state.json has not been replaced since is not read again. Active runs are looked at twice a second, the
others one after the other; the folder itself is listed when its time of change says that a run came or went.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hftune.errors import RunError
from hftune.runs import layout
from hftune.runs.reader import RUN_NAME, is_lost, load_state, newness
from hftune.runs.state import ACTIVE, SCHEMA, RunState

from .followed import mark_of

ACTIVE_SECONDS = 0.5
SWEEP_SECONDS = 1.0
LISTING_SECONDS = 1.0
UNCHANGED_LISTING_SECONDS = 20.0  # some file systems do not keep the time of change of a folder
SHARE = 200  # a sweep or a listing that takes a second is done again after two hundred
RACY_SECONDS = 2.0  # a folder that changed this recently may change again within the same tick of its clock


@dataclass(frozen=True)
class RunRow:
    """One row of the list of runs. `problem` says why there is no `state`; `newer`: written by a later hftune.

    `loss` and `eta_seconds` are those of the newest train event of a run that is active.
    """

    path: Path
    state: RunState | None
    problem: str = ""
    loss: float | None = None
    eta_seconds: float | None = None
    newer: bool = False

    @cached_property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def short(self) -> str:
        """The name without its time, as it is shown and as commands take it: `bert-cls-a3f1`."""
        return short_name(self.name)

    @property
    def status(self) -> str:
        """Its status, `unreadable` when there is no state."""
        return self.state.status if self.state else "unreadable"

    @property
    def active(self) -> bool:
        return self.state is not None and self.state.status in ACTIVE


class Folder:
    """What is in a runs folder; `look` brings it up to date. Used by one thread."""

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self.rows: dict[str, RunRow] = {}  # by name
        self.order: dict[str, tuple[str, float]] = {}  # by name: the greater, the newer
        self.ready = False  # each run has been looked at
        self.known = 0  # how many folders could be runs
        self.problem = ""  # why the folder cannot be listed; one that is not there is only empty
        self._clock, self._ticks = clock, ticks
        self._prefix = os.path.join(path, "")  # noqa: PTH118 - no Path object for each look at thousands of runs
        self._names: set[str] = set()
        self._marks: dict[str, tuple[int, ...] | None] = {}
        self._written: dict[str, RunState] = {}  # states that say active, as they stand in the file
        self._young: set[str] = set()
        self._waiting: deque[str] = deque()
        self._listed_mark = 0
        self._listing_due = self._unchanged_due = self._sweep_due = self._active_due = 0.0
        self._sweep_cost = 0.0

    @property
    def active(self) -> list[str]:
        """The names of the runs whose processes work."""
        return [name for name in self._written if name in self.rows]

    def look(self, seconds: float | None = None) -> set[str]:
        """Do what is due for about `seconds` (None: everything, due or not); return the names whose rows changed."""
        began, everything = self._ticks(), seconds is None
        changed = self._list(everything)
        if everything:
            self._waiting = deque(sorted(self._names, key=_stamp_of, reverse=True))
        if everything or self._active_due <= began:
            self._active_due = began + ACTIVE_SECONDS
            again = [*self._written, *self._young]
            changed.update(name for name in again if self._look_at(name))
            self._young.clear()
        return changed | self._sweep(None if seconds is None else began + seconds)

    def look_soon(self) -> None:
        """List the folder at the next look: something is known to have changed."""
        self._listing_due = self._active_due = 0.0
        self._listed_mark = 0

    def _list(self, everything: bool) -> set[str]:
        """List the folder when it is time to; return the names that are gone."""
        began = self._ticks()
        if self._listing_due > began and not everything:
            return set()
        try:
            mark = self.path.stat().st_mtime_ns
        except OSError:
            mark = -1
        if mark == self._listed_mark and self._unchanged_due > began and not everything:
            self._listing_due = began + LISTING_SECONDS
            return set()
        names = self._folders()
        racy = abs(time.time() - mark / 1e9) < RACY_SECONDS
        self._listed_mark = 0 if racy else mark
        new, gone = names - self._names, self._names - names
        self._names, self.known = names, len(names)
        self._waiting.extendleft(sorted(new, key=_stamp_of))  # the newest in front
        for name in gone:
            self._forget(name)
        took = self._ticks() - began
        self._listing_due = self._ticks() + max(LISTING_SECONDS, SHARE * took)
        self._unchanged_due = self._ticks() + max(UNCHANGED_LISTING_SECONDS, SHARE * took)
        return gone

    def _folders(self) -> set[str]:
        problem, names = "", set[str]()
        try:
            with os.scandir(self.path) as entries:
                names = {entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()}
        except FileNotFoundError:
            pass
        except OSError as error:
            problem = f"{self.path} cannot be read: {error.strerror}"
        self.problem = problem
        return names

    def _sweep(self, until: float | None) -> set[str]:
        """Look at the next runs; when all have been looked at, begin anew when it is time to."""
        began = self._ticks()
        if not self._waiting and self._sweep_due <= began:
            self._waiting.extend(self._names)
        changed = set()
        while self._waiting and (until is None or self._ticks() < until):
            name = self._waiting.popleft()
            if name in self._names and self._look_at(name, first=until is not None):
                changed.add(name)
        self._sweep_cost += self._ticks() - began
        if not self._waiting and self._sweep_due <= began:
            # The first one read every file; those that follow only look whether one was replaced.
            self._sweep_due = began + max(SWEEP_SECONDS, SHARE * self._sweep_cost if self.ready else 0.0)
            self._sweep_cost = 0.0
            self.ready = True
        return changed

    def _look_at(self, name: str, first: bool = False) -> bool:
        """Read a run's state when it has been replaced; return whether its row is another now."""
        mark = mark_of(f"{self._prefix}{name}")
        if mark is None and first and name not in self.rows:
            self._young.add(name)  # being made at this moment: it is looked at once more before it is called broken
            return False
        if mark is None or mark != self._marks.get(name):
            row = self._read(name)
            self._marks[name] = mark
        elif name in self._written:
            row = self._row(name, self._written[name])
        else:
            return False
        if row is None:
            return self._forget(name)
        if row == self.rows.get(name):
            return False
        self.rows[name] = row
        self.order[name] = newness(name, row.state)
        return True

    def _read(self, name: str) -> RunRow | None:
        path = self.path / name
        self._written.pop(name, None)
        try:
            state = load_state(path)
        except RunError as error:
            is_run = RUN_NAME.fullmatch(name) or (path / layout.RECIPE).is_file() or (path / layout.STATE).exists()
            return RunRow(path, None, error.message) if is_run else None
        return self._row(name, state)

    def _row(self, name: str, state: RunState) -> RunRow:
        if is_lost(state, self._clock()):
            self._written.pop(name, None)
            state = replace(state, status="lost")
        elif state.status in ACTIVE:
            self._written[name] = state
        return RunRow(self.path / name, state, newer=state.schema > SCHEMA)

    def _forget(self, name: str) -> bool:
        self._marks.pop(name, None)
        self._written.pop(name, None)
        self.order.pop(name, None)
        return self.rows.pop(name, None) is not None


def short_name(name: str) -> str:
    """Return a run's name without its time: `bert-cls-a3f1`."""
    match = RUN_NAME.fullmatch(name)
    return f"{match['name']}-{match['hex']}" if match else name


def _stamp_of(name: str) -> str:
    """Return the time in a name; a name of its own stands before all, as only its state says where it belongs."""
    match = RUN_NAME.fullmatch(name)
    return match["stamp"] if match else "~"
