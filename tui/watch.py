"""RunStore: one thread that reads run directories, and what the screens see of it.

The thread replaces `rows` whole and fills FollowedRun objects under their locks; each screen compares `version`s on
its own timer and draws what changed. No message is sent for an event.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hftune.runs.events import Event, parse_line
from hftune.runs.following import mapping, whole
from hftune.runs.reader import EventTail

from .folder import Folder, RunRow, short_name
from .followed import EventLine, FollowedRun, number

__all__ = ["EventLine", "FollowedRun", "RunRow", "RunStore", "short_name"]

PERIOD_SECONDS = 0.05
IDLE_SECONDS = 0.25  # nothing works and nothing is followed: what changes is found by a look at the folder
BLURRED_SECONDS = 1.0
BUSY_SECONDS = 0.01  # the most work between two rests while much is to be read: the screen's thread needs its turn
REST_SECONDS = 0.005
FOLDER_SECONDS = 0.005
STATE_SECONDS = 0.5
ROWS_SECONDS = 0.1
FIRST_ROWS_SECONDS = 0.25  # while the first scan goes on
AFTER_ERROR_SECONDS = 1.0
GLANCE_BYTES = 1 << 16
GLANCE_LIMIT = 1 << 18
KEPT = 4  # runs that nobody follows any more: going back to one begins where it was left


class RunStore:
    """What is known about the runs of a folder, and about those that are followed."""

    def __init__(self, runs_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.runs_dir = runs_dir
        self.version = 0
        self.rows: tuple[RunRow, ...] = ()  # newest first; replaced whole, never changed
        self.counts: Mapping[str, int] = {}  # how many rows have each status
        self.ready = False
        self.blurred = False  # nobody looks: once a second is enough
        self.problem = ""  # an error that the thread met and went on from
        self._clock = clock
        self._folder = Folder(runs_dir, clock)
        self._glances: dict[str, _Glance] = {}
        self._shown: list[RunRow] = []
        self._places: dict[str, int] = {}
        self._changed: set[str] = set()
        self._followed: OrderedDict[str, _Entry] = OrderedDict()
        self._guard = threading.Lock()  # of _followed: held for moments only
        self._polling = threading.Lock()
        self._rows_due = 0.0
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read, in a thread of its own; after the first paint, so as not to delay it."""
        if self._thread is None:
            self._ending = False
            self._thread = threading.Thread(target=self._loop, name="hftune-reader", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        thread, self._thread = self._thread, None
        self._ending = True
        self._wake.set()
        if thread is not None:
            thread.join(timeout=2.0)

    @property
    def scanned(self) -> tuple[int, int]:
        """How many runs have been read, of how many folders: what to show until `ready`."""
        return len(self._folder.rows), self._folder.known

    @property
    def folder_problem(self) -> str:
        """Why the folder cannot be listed, empty when it can."""
        return self._folder.problem

    def row(self, run: Path) -> RunRow | None:
        """Return the row of a run, None when it is not in the folder."""
        rows, place = self.rows, self._places.get(run.name)
        if place is None or place >= len(rows) or rows[place].name != run.name:  # replaced at this moment
            place = next((place for place, row in enumerate(rows) if row.name == run.name), None)
        return rows[place] if place is not None and _key(rows[place].path) == _key(run) else None

    def follow(self, run: Path) -> FollowedRun:
        """Begin to read a run's events; the same object for the same run. Each call asks for one `unfollow`."""
        key = _key(run)
        with self._guard:
            entry = self._followed.get(key)
            if entry is None:
                entry = self._followed[key] = _Entry(FollowedRun(run, self._clock))
            entry.followers += 1
            self._followed.move_to_end(key)
        self._wake.set()
        return entry.run

    def unfollow(self, run: Path) -> None:
        """Take back one `follow`; the last one ends the reading."""
        with self._guard:
            entry = self._followed.get(_key(run))
            if entry is not None:
                entry.followers = max(0, entry.followers - 1)
            idle = [key for key, entry in self._followed.items() if not entry.followers]
            for key in idle[: max(0, len(idle) - KEPT)]:
                del self._followed[key]

    def look_soon(self) -> None:
        """Look at the folder at once: a run has just been started or stopped from here."""
        self._folder.look_soon()
        self._wake.set()

    def poll_once(self) -> None:
        """Bring everything up to date, whether it is due or not; the thread does in turns what is due."""
        with self._polling:
            for entry in self._live():
                entry.run.poll_state()
                while entry.run.poll_events():
                    pass
            self._changed |= self._folder.look(None)
            self._glance()
            self._publish()

    def _loop(self) -> None:
        while not self._ending:
            try:
                with self._polling:
                    busy = self._turn()
            except Exception as error:  # whatever a run directory holds, the screens must not stand still
                self.problem, busy = f"{type(error).__name__}: {error}", False
                self._wake.wait(AFTER_ERROR_SECONDS)
            self._wake.wait(REST_SECONDS if busy else self._period())
            self._wake.clear()

    def _turn(self) -> bool:
        """Do what is due for a moment; return whether more is waiting."""
        began = time.monotonic()
        waiting = self._live()
        for entry in waiting:
            if entry.state_due <= began:
                entry.state_due = began + STATE_SECONDS
                entry.run.poll_state()  # before the events: what it wrote last is then among them
        until = began + BUSY_SECONDS
        while waiting and time.monotonic() < until:
            waiting = [entry for entry in waiting if entry.run.poll_events()]
        self._changed |= self._folder.look(FOLDER_SECONDS if self._folder.ready else BUSY_SECONDS)
        if self._rows_due <= began:
            self._rows_due = began + (ROWS_SECONDS if self._folder.ready else FIRST_ROWS_SECONDS)
            self._glance()
            self._publish()
        return bool(waiting) or not self._folder.ready

    def _period(self) -> float:
        if self.blurred:
            return BLURRED_SECONDS
        return PERIOD_SECONDS if self._glances or self._live() else IDLE_SECONDS

    def _live(self) -> list[_Entry]:
        with self._guard:
            return [entry for entry in self._followed.values() if entry.followers]

    def _glance(self) -> None:
        """See what the newest train event of each active run says."""
        active = self._folder.active
        for name in self._glances.keys() - set(active):
            del self._glances[name]
            self._changed.add(name)
        for name in active:
            if name not in self._glances:
                self._glances[name] = _Glance(self.runs_dir / name)
            if self._glances[name].poll():
                self._changed.add(name)

    def _publish(self) -> None:
        """Replace `rows` where something changed."""
        changed, self._changed = self._changed, set()
        self.ready = self._folder.ready
        if not changed:
            return
        rows = self._folder.rows
        if all((name in self._places) == (name in rows) for name in changed):
            for name in changed & self._places.keys():
                self._shown[self._places[name]] = self._dressed(name)
        else:
            names = sorted(rows, key=self._folder.order.__getitem__, reverse=True)
            self._shown = [self._dressed(name) for name in names]
            self._places = {name: place for place, name in enumerate(names)}
        shown = tuple(self._shown)
        if shown != self.rows:
            self.counts = Counter(row.status for row in shown)
            self.rows = shown
            self.version += 1

    def _dressed(self, name: str) -> RunRow:
        """Return a row with what its newest train event says."""
        row, glance = self._folder.rows[name], self._glances.get(name)
        if glance is None or row.state is None or glance.attempt != row.state.attempt:
            return row
        state = replace(row.state, step=glance.step)
        return replace(row, state=state, loss=glance.loss, eta_seconds=glance.eta_seconds)


@dataclass
class _Entry:
    """A followed run, by how many, and when its state is to be read again."""

    run: FollowedRun
    followers: int = 0
    state_due: float = 0.0


class _Glance:
    """The newest train event of an active run: of what has been written since the last time, one line is read."""

    def __init__(self, path: Path) -> None:
        self.attempt = self.step = 0
        self.loss: float | None = None
        self.eta_seconds: float | None = None
        self._tail = EventTail(path, back=GLANCE_BYTES)

    def poll(self) -> bool:
        """Look; return whether there is something new."""
        try:
            lines = self._tail.poll_lines(GLANCE_LIMIT)
        except OSError:
            return False
        for line in reversed(lines):
            if b'"train"' in line and (event := parse_line(line)) is not None and event.kind == "train":
                return self._take(event)
        return False

    def _take(self, event: Event) -> bool:
        """Take in a train event; return whether it says something else than the last."""
        metrics, timing = mapping(event.data.get("metrics")), mapping(event.data.get("timing"))
        before = (self.attempt, self.step, self.loss, self.eta_seconds)
        self.attempt, self.step = event.attempt, whole(event.data.get("step"))
        self.loss = number(metrics["loss"], math.nan) if "loss" in metrics else None
        self.eta_seconds = number(timing["eta_seconds"]) if timing.get("eta_seconds") is not None else None
        return before != (self.attempt, self.step, self.loss, self.eta_seconds)


def _key(run: Path) -> str:
    return os.path.abspath(run)  # noqa: PTH100 - resolve() would ask the disk, in the thread of the screen
