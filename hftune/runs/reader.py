"""Reading run directories: finding one, its state (with `lost`), its events, and lists of many.

Nothing here writes. Whatever a run directory holds (half a line, a newer version, bytes that are no text) is read as
far as it makes sense.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

from hftune.errors import RunError, closest
from hftune.runs import layout, process
from hftune.runs.events import Event, parse_line
from hftune.runs.state import ACTIVE, RunState
from hftune.sanitize import sanitize

RUNS_DIR_VARIABLE = "HFTUNE_RUNS_DIR"
LOST_AFTER_SECONDS = 60.0
RUN_NAME = re.compile(r"(?P<name>.+)-(?P<stamp>\d{8}-\d{6})-(?P<hex>[0-9a-f]{4})")
SHOWN_CANDIDATES = 8
PIECE_BYTES = 1 << 18
LONGEST_LINE = 1 << 22
STATE_FIELDS = fields(RunState)


@dataclass(frozen=True)
class RunSummary:
    """One row of a list of runs; `state` is None and `problem` says why when state.json cannot be read."""

    path: Path
    state: RunState | None
    problem: str = ""

    @property
    def name(self) -> str:
        return self.path.name


def default_runs_dir() -> Path:
    """Return $HFTUNE_RUNS_DIR, or `runs` in the current folder."""
    return Path(os.environ.get(RUNS_DIR_VARIABLE) or "runs")


def find_run(ref: str, runs_dir: Path | str | None = None) -> Path:
    """Return the run directory that `ref` means: a path, `latest`, a unique start or hex end of a name.

    `name-hex` (how the app shortens a name) works too. Raises RunError naming the candidates.
    """
    folder = Path(runs_dir) if runs_dir is not None else default_runs_dir()
    if ref != "latest" and _is_run(path := Path(ref)):
        return path
    names = [path.name for path in _run_folders(folder)]
    if ref == "latest":
        return folder / _latest(folder, names)
    if ref in names:
        return folder / ref
    found = [name for name in names if ref and name.startswith(ref)]
    found = found or [name for name in names if _ends_with(name, ref)]
    if len(found) == 1:
        return folder / found[0]
    if found:
        shown = sorted(found, reverse=True)[:SHOWN_CANDIDATES]
        more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
        raise RunError(f"{ref!r} could be {len(found)} runs", hint="One of: " + ", ".join(shown) + more + ".")
    if Path(ref).is_dir():
        raise RunError(f"{ref} is not a run directory", hint=f"It has no {layout.STATE} and no {layout.RECIPE}.")
    hint = closest(ref, names) if len(names) <= SHOWN_CANDIDATES else "`hftune runs` lists them."
    raise RunError(f"no run {ref!r} in {folder}", hint=hint or "`hftune run RECIPE` makes one.")


def short_name(run: Path) -> str:
    """Return what to type for a run: `latest` or its name where commands look by themselves, else its path."""
    return "latest" if _is_here(run) and run.name == find_run("latest").name else lasting_name(run)


def lasting_name(run: Path) -> str:
    """Return what to type for a run also when a newer one has begun: its name, or its path where that is needed."""
    return shlex.quote(sanitize(run.name if _is_here(run) else run))


def _is_here(run: Path) -> bool:
    """Whether a run lies where commands look by themselves."""
    return run.resolve().parent == default_runs_dir().resolve()


def split_step(ref: str) -> tuple[str, int | None]:
    """Return (`RUN`, step) of `RUN@step`, and (`RUN`, None) without a step."""
    run, sign, step = ref.rpartition("@")
    return (run, int(step)) if sign and run and step.isascii() and step.isdigit() else (ref, None)


def load_state(path: Path) -> RunState:
    """Return state.json as written; raises RunError when it is missing or broken. Fields not known are left out."""
    try:
        record = json.loads((path / layout.STATE).read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path} has no {layout.STATE}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path / layout.STATE} cannot be read: {error}") from error
    if not isinstance(record, dict) or not isinstance(record.get("status"), str):
        raise RunError(f"{path / layout.STATE} cannot be read: no status")
    return RunState(**_known_fields(record))


def read_state(path: Path) -> RunState:
    """Return the state of a run, `lost` when it says that it works and its process does not."""
    state = load_state(path)
    return replace(state, status="lost") if is_lost(state) else state


def is_lost(state: RunState, now: float | None = None) -> bool:
    """Tell whether an active run has no process: gone on this host and boot, or silent for 60 s elsewhere."""
    if state.status not in ACTIVE:
        return False
    here = state.host == process.host() and state.boot_id == process.boot_id()
    if here and state.pid != 0:
        return not process.alive(state.pid, state.process_started)
    return (time.time() if now is None else now) - state.heartbeat > LOST_AFTER_SECONDS


def read_events(path: Path) -> list[Event]:
    """Return the events of a run; foreign lines and a torn last one are left out."""
    return EventTail(path).poll()


class EventTail:
    """Reads the events of a run as they come, from the beginning or from `back` bytes before the end.

    A line longer than LONGEST_LINE is no event of ours: it is passed over and never held in memory.
    """

    def __init__(self, path: Path, back: int | None = None) -> None:
        self.path = path
        self.restarts = 0  # how often the file turned out to be another one, and was read anew
        self.size = 0  # bytes in the file and, of these, read: as of the last call
        self.offset = 0
        self._file = path / layout.EVENTS
        self._back = back
        self._partial = b""
        self._passing = False  # in the midst of a line that is not wanted

    def poll(self, limit: int | None = None) -> list[Event]:
        """Return the events whose lines have ended since the last call; reads at most `limit` bytes."""
        return [event for line in self.poll_lines(limit) if (event := parse_line(line)) is not None]

    def poll_lines(self, limit: int | None = None) -> list[bytes]:
        """Return the lines that have ended since the last call as they stand; reads at most `limit` bytes."""
        try:
            # os.stat: this is done twenty times a second for each run that is followed.
            self.size = size = os.stat(self._file).st_size  # noqa: PTH116
            if size < self.offset:  # copied anew, for example by rsync: it is another file
                self.offset, self._partial, self._passing = 0, b"", False
                self.restarts += 1
            if self._back is not None:
                self.offset, self._passing, self._back = max(0, size - self._back), size > self._back, None
            return self._read(size if limit is None else min(size, self.offset + limit))
        except FileNotFoundError:
            return []

    def _read(self, end: int) -> list[bytes]:
        """Return the lines that end before the offset `end`."""
        lines: list[bytes] = []
        if end <= self.offset:
            return lines
        with self._file.open("rb") as file:
            file.seek(self.offset)
            while self.offset < end and (data := file.read(min(PIECE_BYTES, end - self.offset))):
                self.offset += len(data)
                lines += self._split(data)
        return lines

    def _split(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` ends; what it begins waits for its end."""
        *ended, rest = data.split(b"\n")
        if ended:
            ended[0] = self._partial + ended[0]
            del ended[: int(self._passing)]
            self._partial, self._passing = rest, False
        elif not self._passing:
            self._partial += rest
        if len(self._partial) > LONGEST_LINE:
            self._partial, self._passing = b"", True
        return ended


def list_runs(runs_dir: Path | str | None = None) -> list[RunSummary]:
    """Return the runs in a folder, newest first; reads one small file a run."""
    folder = Path(runs_dir) if runs_dir is not None else default_runs_dir()
    summaries = [_summary(path) for path in _run_folders(folder)]
    return sorted(summaries, key=_newness, reverse=True)


def newness(name: str, state: RunState | None) -> tuple[str, float]:
    """Return what runs are sorted by: the greater, the newer."""
    created = state.created if state else 0.0
    return _stamp(name) or time.strftime("%Y%m%d-%H%M%S", time.gmtime(created)), created


def _summary(path: Path) -> RunSummary:
    try:
        return RunSummary(path, read_state(path))
    except RunError as error:
        return RunSummary(path, None, error.message)


def _newness(summary: RunSummary) -> tuple[str, float]:
    return newness(summary.name, summary.state)


def _stamp(name: str) -> str:
    match = RUN_NAME.fullmatch(name)
    return match["stamp"] if match else ""


def _run_folders(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.is_dir():
                    continue
                if RUN_NAME.fullmatch(entry.name) or _is_run(Path(entry.path)):
                    yield Path(entry.path)
    except OSError:
        return


def _is_run(path: Path) -> bool:
    return (path / layout.STATE).is_file() or (path / layout.RECIPE).is_file()


def _latest(folder: Path, names: list[str]) -> str:
    if not names:
        raise RunError(f"no runs in {folder}", hint="`hftune run RECIPE` makes one; --runs-dir says where to look.")
    if not all(map(_stamp, names)):
        return list_runs(folder)[0].name
    newest = max(map(_stamp, names))
    return max((_summary(folder / name) for name in names if _stamp(name) == newest), key=_newness).name


def _ends_with(name: str, ref: str) -> bool:
    match = RUN_NAME.fullmatch(name)
    if match is None or not ref:
        return False
    short = f"{match['name']}-{match['hex']}"
    return ref == short or (match["hex"].endswith(ref) and re.fullmatch("[0-9a-f]{1,4}", ref) is not None)


def _known_fields(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the fields that RunState has and whose values have the right type."""
    known: dict[str, Any] = {}
    for field in STATE_FIELDS:
        value = record.get(field.name)
        default = field.default
        if value is None or isinstance(value, bool) != isinstance(default, bool):
            continue
        if default is MISSING or field.name in ("exit_code", "metric_value"):
            known[field.name] = value
        elif isinstance(default, float) and isinstance(value, int | float):
            known[field.name] = float(value)
        elif isinstance(value, type(default)):
            known[field.name] = value
    return known
