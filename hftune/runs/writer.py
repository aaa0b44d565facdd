"""The one writer of a run directory: events, state, heartbeat, requests."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hftune.errors import RunError
from hftune.output import finite
from hftune.runs import layout, process
from hftune.runs.events import Event, parse_line
from hftune.runs.files import fsync_folder, write_atomic
from hftune.runs.reader import load_state
from hftune.runs.state import RunState, Status

HEARTBEAT_SECONDS = 2.0
# Steps can take a millisecond: state.json is not replaced for each of them.
STATE_SECONDS = 0.25
DURABLE_KINDS = frozenset({"checkpoint", "result", "status"})
TAIL_BYTES = 1 << 16


class RunWriter:
    """Writes one attempt of one run; only the process that holds `run.lock` may have one."""

    def __init__(self, path: Path, state: RunState, next_seq: int) -> None:
        """Use `create` or `open`."""
        self.path = path
        self._state = state
        self._next_seq = next_seq
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[Event], None]] = []
        self._asked: set[str] = set()
        self._cleared: set[str] = set()
        self._state_written = -math.inf
        self._state_dirty = False
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._events = os.open(path / layout.EVENTS, flags, 0o600)
        self._torn = False

    @classmethod
    def create(cls, runs_dir: Path, name: str, recipe_yaml: str, status: Status = "preparing") -> RunWriter:
        """Make a new run directory; raises RunError when it cannot be made.

        The name gets time and four random hex digits, and mkdir is exclusive: two runs never share a folder.
        """
        if not re.fullmatch(layout.SAFE_NAME, name):
            raise RunError(f"{name!r} cannot name a run", hint="Use letters, digits, dots, hyphens and underscores.")
        now = time.time()
        try:
            path = _make_folder(Path(runs_dir), name)
            run = cls(path, _owned(RunState(status=status, created=now, heartbeat=now)), next_seq=0)
            run._write_state(sync=True)  # first: a list of runs made meanwhile looks for it
            (path / layout.CONTROL).mkdir(mode=0o700)
            write_atomic(path / layout.RECIPE, recipe_yaml)
            run.emit("status", status=status, reason="")
        except OSError as error:
            raise RunError(f"cannot make a run directory in {runs_dir}: {error.strerror}") from error
        fsync_folder(path.parent)
        return run

    @classmethod
    def open(cls, path: Path, *, new_attempt: bool = True) -> RunWriter:
        """Take up an existing run: a new attempt, `seq` goes on, a torn last line is closed off.

        A run that was handed over and never begun (see `hand_over`) keeps its attempt and its pending requests;
        `new_attempt=False` goes on with the attempt of a process that has ended. Raises RunError without a recipe.
        """
        if not (path / layout.RECIPE).is_file():
            raise RunError(f"{path} is not a run directory", hint=f"It has no {layout.RECIPE}.")
        last_seq, last_attempt = _last_event(path / layout.EVENTS)
        try:
            state = load_state(path)
        except RunError:  # state.json is derived: a broken one does not lose the run
            state = RunState(status="preparing", attempt=last_attempt, created=time.time())
        handed_over = state.handed_over
        if not handed_over:
            for request in (path / layout.CONTROL).glob("*"):
                request.unlink(missing_ok=True)  # meant for a process that is gone
        attempt = max(state.attempt, last_attempt) + (0 if handed_over or not new_attempt else 1)
        state = replace(state, attempt=max(attempt, 1), exit_code=None, heartbeat=time.time())
        run = cls(path, _owned(state), next_seq=last_seq + 1)
        run._close_torn_line()
        for temporary in path.glob(".*.tmp"):
            temporary.unlink(missing_ok=True)  # a kill between write and rename leaves one
        (path / layout.CONTROL).mkdir(mode=0o700, exist_ok=True)
        if new_attempt:
            run._state = replace(run._state, status="preparing", phase="", reason="")
            run.emit("status", status="preparing", reason="")
        run._write_state(sync=True)
        return run

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self._state.attempt

    @property
    def state(self) -> RunState:
        """The state as this writer last set it."""
        return self._state

    @property
    def cleared(self) -> frozenset[str]:
        """The requests that this attempt has carried out."""
        return frozenset(self._cleared)

    def subscribe(self, callback: Callable[[Event], None]) -> None:
        """Call `callback` with every event from now on, in the thread that emits it."""
        self._callbacks.append(callback)

    def emit(self, kind: str, **data: Any) -> None:
        """Append one event, with one write; raises OSError when the disk is full."""
        with self._lock:
            event = Event(self._next_seq, self.attempt, time.time(), kind, data)
            self._append(event.to_line())
            self._next_seq += 1
            if kind in DURABLE_KINDS:
                os.fsync(self._events)
            self._follow(event)
        for callback in self._callbacks:
            callback(event)

    def sync(self) -> None:
        """Put the events so far on disk, before anything that must not outlive them."""
        os.fsync(self._events)

    def set_state(
        self,
        status: str | None = None,
        phase: str | None = None,
        reason: str | None = None,
        step: int | None = None,
        total_steps: int | None = None,
        exit_code: int | None = None,
    ) -> None:
        """Replace what is given; a changed status or phase is an event as well."""
        given: dict[str, Any] = {
            "status": status, "phase": phase, "reason": reason, "step": step, "total_steps": total_steps,
            "exit_code": exit_code,
        }  # fmt: skip
        with self._lock:
            before = self._state
            self._state = replace(before, **{key: value for key, value in given.items() if value is not None})
            now = self._state
            if status is not None and reason is None and status != before.status:
                now = self._state = replace(now, reason="")  # a reason belongs to the status it came with
            changed_status = (now.status, now.reason, now.exit_code) != (before.status, before.reason, before.exit_code)
            if changed_status:
                self._write_state(sync=True)
            elif now.phase != before.phase:
                self._write_state(sync=False)
            else:
                self._write_state_soon()
        if (now.status, now.reason) != (before.status, before.reason):
            self.emit("status", status=now.status, reason=now.reason)
        if now.phase != before.phase:
            self.emit("phase", phase=now.phase, detail="")

    def alert(self, level: str, code: str, message: str, hint: str = "", step: int | None = None) -> None:
        """Emit something a person should see; `code` is stable, `level` is info, warning or error."""
        self.emit("alert", level=level, code=code, message=message, hint=hint, step=step)

    def progress(self, phase: str, done: int, total: int | None, unit: str) -> None:
        """Emit how far work inside a phase has come."""
        self.emit("progress", phase=phase, done=done, total=total, unit=unit)

    def requests(self) -> frozenset[str]:
        """Return what the job is asked to do (stop, pause, checkpoint); cheap enough for every step."""
        try:
            names = os.listdir(self.path / layout.CONTROL)  # noqa: PTH208 - every step: no Path objects
        except OSError:
            names = []
        return frozenset(self._asked.union(name for name in names if not name.startswith(".")))

    def ask(self, name: str) -> None:
        """Make a request from inside this process (a signal handler), where no file should be written."""
        self._asked.add(name)

    def clear_request(self, name: str) -> None:
        """Forget a request that was carried out; `cleared` remembers it."""
        self._cleared.add(name)
        self._asked.discard(name)
        (self.path / layout.CONTROL / name).unlink(missing_ok=True)

    def write_json(self, name: str, obj: Any) -> None:
        """Write `obj` to the file `name` of the run, atomically and on disk; NaN becomes null."""
        text = json.dumps(finite(obj), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(self.path / name, text + "\n")

    def start_heartbeat(self) -> None:
        """Say every two seconds that this process lives, from a thread of its own."""
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="hftune-heartbeat", daemon=True)
            self._heart.start()

    def hand_over(self, *, to_child: bool = False) -> None:
        """Leave the run to a process that will `open` it as the same attempt, and close.

        With `to_child` this process lives as long as that one, so the run is lost when it is gone, not before.
        """
        with self._lock:
            state = replace(self._state, handed_over=True, heartbeat=time.time())
            self._state = state if to_child else replace(state, pid=0, process_started=0.0)
            self._write_state(sync=True)
        self.close()

    def close(self) -> None:
        """Stop the heartbeat and close the files; the status stays as it is."""
        self._stop.set()
        if self._heart is not None and self._heart is not threading.current_thread():
            self._heart.join()
        with self._lock:
            if self._events < 0:
                return
            if self._state_dirty:
                with suppress(OSError):
                    self._write_state(sync=False)
            os.close(self._events)
            self._events = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: str) -> None:
        data = line.encode("utf-8", errors="replace")
        if self._torn:
            data = b"\n" + data
        written = os.write(self._events, data)
        self._torn = written < len(data)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path / layout.EVENTS))

    def _close_torn_line(self) -> None:
        with (self.path / layout.EVENTS).open("rb") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) is not None and file.read(1) != b"\n":
                os.write(self._events, b"\n")

    def _follow(self, event: Event) -> None:
        """Keep in the state what a list of runs shows, so that it reads no events."""
        data = event.data
        if event.kind == "plan" and data.get("total_steps"):
            self._state = replace(self._state, total_steps=int(data["total_steps"]))
        elif event.kind in ("train", "checkpoint", "resume"):
            self._state = replace(self._state, step=int(data["step"]))
        elif event.kind == "best":
            self._state = replace(self._state, metric=str(data["metric"]), metric_value=data["value"])
        else:
            return
        self._write_state_soon()

    def _write_state_soon(self) -> None:
        """Write at most four times a second; the heartbeat or `close` writes what is left."""
        self._state_dirty = True
        if time.monotonic() - self._state_written >= STATE_SECONDS:
            self._write_state(sync=False)

    def _write_state(self, sync: bool) -> None:
        text = json.dumps(finite(asdict(self._state)), indent=2, ensure_ascii=False)
        write_atomic(self.path / layout.STATE, text + "\n", sync=sync)
        self._state_written = time.monotonic()
        self._state_dirty = False

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # A full disk must not end the heart: the loop that trains meets the same error and says so.
            with suppress(OSError), self._lock:
                self._state = replace(self._state, heartbeat=time.time())
                self._write_state(sync=False)


def _make_folder(runs_dir: Path, name: str) -> Path:
    runs_dir.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for _ in range(100):
        path = runs_dir / f"{name}-{stamp}-{secrets.token_hex(2)}"
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return path
    raise RunError(f"{runs_dir} has too many runs named {name}-{stamp}")


def _owned(state: RunState) -> RunState:
    """Return the state as owned by this process."""
    pid = os.getpid()
    begun = process.started(pid) or 0.0
    return replace(
        state,
        host=process.host(),
        boot_id=process.boot_id(),
        pid=pid,
        process_started=begun,
        handed_over=False,
    )


def _last_event(path: Path) -> tuple[int, int]:
    """Return the highest seq (-1 when there is none) and attempt, reading the end of the file when that is enough."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for start in dict.fromkeys((max(0, size - TAIL_BYTES), 0)):
                file.seek(start)
                found = [event for line in file.read().split(b"\n") if (event := parse_line(line)) is not None]
                if found:
                    return max(event.seq for event in found), max(event.attempt for event in found)
    except FileNotFoundError:
        pass
    return -1, 0
