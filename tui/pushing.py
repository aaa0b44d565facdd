"""A push under way: `hftune push --ask --json`, a process that a thread reads; what it says, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, TypeGuard

from hftune.runs import layout
from hftune.runs.state import ACTIVE, RunState

from .folder import short_name
from .tether import FOLDER_VARIABLE

MODULE = "hftune"
LONGEST_LINE = 1 << 20
LONGEST_TEXT = 4_000  # of a message
MOST_PHASES = 200
MOST_FILES = 1_000
LAST_WORDS = 2_000  # bytes of the process's stderr that are looked at when it dies
SPEED_SECONDS = 10.0  # the speed is that of the last ones
LEAST_SECONDS = 0.5  # that tell a speed
TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")  # in what an error quotes: none is ever drawn
KILLED = 9

Visibility = Literal["private", "public", "hide"]
Weights = Literal["", "adapter", "merged"]
State = Literal["preparing", "ready", "sending", "done", "failed", "stopped"]


@dataclass(frozen=True)
class Asked:
    """What is to be pushed. `private`: a new repository is, and one that is public is left alone; `hide`: it is hidden.

    `run` may be followed by @STEP; `more` are words for `hftune push` that the form does not ask for.
    """

    run: str
    repo: str = ""
    visibility: Visibility = "private"
    weights: Weights = ""
    more: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """Return the command line."""
        flags = {"public": ["--public"], "hide": ["--private"]}.get(self.visibility, [])
        if self.weights:
            flags = [*flags, f"--{self.weights}"]
        return ["push", self.run, self.repo, *flags, *self.more, "--ask", "--json"]


@dataclass(frozen=True)
class Phase:
    """Something that was done, and when it began."""

    text: str
    began: float


@dataclass(frozen=True)
class Ready:
    """What would be sent, and where to. `new`: there is no such repository yet."""

    repo: str
    url: str
    private: bool
    new: bool
    weights: str
    files: tuple[tuple[str, int], ...]
    bytes: int


@dataclass(frozen=True)
class Done:
    """What came of it; `unchanged`: the Hub had exactly this."""

    url: str
    commit: str
    private: bool
    unchanged: bool


@dataclass(frozen=True)
class Failure:
    """Why it could not be, and what to do about it."""

    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}".rstrip()


class Pushing:
    """A push. Screens read what is here on a timer of their own; `version` grows with every change.

    It asks once all is ready: `agree` says yes, and nothing is sent before. `stop` ends it at any time.
    """

    def __init__(self, asked: Asked, runs_dir: Path, ticks: Callable[[], float] = time.monotonic) -> None:
        """Start it; raises OSError when no process can be."""
        self.asked = asked
        self.version = 0
        self.phases: deque[Phase] = deque(maxlen=MOST_PHASES)
        self.ready: Ready | None = None
        self.uploaded: tuple[int, int] | None = None  # bytes, of how many
        self.done: Done | None = None
        self.failure: Failure | None = None
        self.agreed = self.stopped = self.over = False
        self._ticks = ticks
        self._sent: deque[tuple[float, int]] = deque()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._folder = tempfile.TemporaryDirectory(prefix="hftune-push-", ignore_cleanup_errors=True)
        try:
            self._process = self._start(runs_dir)
        except BaseException:
            self._close()
            raise
        threading.Thread(target=self._read, name="push", daemon=True).start()

    def _start(self, runs_dir: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, FOLDER_VARIABLE: self._folder.name, "PYTHONIOENCODING": "utf-8"}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "hftune_tui.tether", MODULE, *self.asked.words(), "--runs-dir", str(runs_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            env=environment,
        )

    @property
    def state(self) -> State:
        """What it does now."""
        if self.done is not None:
            return "done"
        if self.stopped:
            return "stopped"
        if self.failure is not None:
            return "failed"
        if self.agreed:
            return "sending"
        return "preparing" if self.ready is None else "ready"

    @property
    def speed(self) -> float | None:
        """Bytes a second of late, None before that can be told."""
        sent = list(self._sent)
        if not sent or sent[-1][0] - sent[0][0] < LEAST_SECONDS:
            return None
        return (sent[-1][1] - sent[0][1]) / (sent[-1][0] - sent[0][0])

    def agree(self) -> None:
        """Have it sent what is ready."""
        if self.state != "ready":
            return
        self.agreed = True
        self.version += 1
        self._phase("comparing with what is there")
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # it has died, and the thread says so
            self._process.stdin.write(b"yes\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        """End the process now, whatever it does; what it has written on the disk goes with it."""
        if self.state not in ("done", "failed"):
            self.stopped = True
            self.version += 1
        self._process.kill()

    # In the thread.

    def _read(self) -> None:
        assert self._process.stdout is not None and self._process.stdin is not None
        with self._process.stdout as said:
            for record in records(said):
                self._take(record)
                self.version += 1
        code = self._process.wait()
        if self.done is None and self.failure is None:
            self.failure = self._death(code)
        with suppress(OSError):
            self._process.stdin.close()
        self._close()
        self.over = True
        self.version += 1

    def _take(self, record: Mapping[str, Any]) -> None:
        if "error" in record:
            self.failure = _failure(record["error"])
        elif record.get("pushed") is True:
            self.done = _done(record, self.ready)
        elif "pushed" in record:
            self.failure = Failure("hftune push ended without sending anything")
        elif "ready" in record:
            self._take_ready(record["ready"])
        elif "uploaded" in record:
            self._take_uploaded(record)
        elif "phase" in record:
            self._phase(_text(record["phase"]))

    def _take_ready(self, record: Any) -> None:
        try:
            self.ready = _ready(record)
        except (KeyError, TypeError, ValueError, AttributeError):
            # It waits for an answer, and nobody could say yes to what cannot be shown.
            self.failure = Failure("hftune push said nothing that can be read of what it would send")
            self._process.kill()

    def _take_uploaded(self, record: Mapping[str, Any]) -> None:
        done, total = record["uploaded"], record.get("of")
        if not _is_count(done) or not _is_count(total):
            return
        now, sent = self._ticks(), self._sent
        if self.uploaded is not None and done < self.uploaded[0]:
            sent.clear()  # it begins again
        while sent and now - sent[0][0] > SPEED_SECONDS:
            sent.popleft()
        sent.append((now, done))
        self.uploaded = (done, total)
        self._phase("uploading")

    def _phase(self, text: str) -> None:
        if not self.phases or self.phases[-1].text != text:
            self.phases.append(Phase(text, self._ticks()))

    def _death(self, code: int) -> Failure:
        ended = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        hint = "Perhaps the machine ran out of memory." if code == -KILLED else ""
        return Failure(f"hftune push {ended} before it said how it went", f"{hint} {self._last_words()}".strip())

    def _last_words(self) -> str:
        """Return the last line that it said to people."""
        with suppress(OSError, ValueError):
            end = self._stderr.seek(0, os.SEEK_END)
            self._stderr.seek(max(0, end - LAST_WORDS))
            said = re.split(r"[\r\n]+", self._stderr.read().decode("utf-8", "replace").strip())
            return f"Its last words: {_text(said[-1])}" if said[-1] else ""
        return ""

    def _close(self) -> None:
        self._stderr.close()
        self._folder.cleanup()


def records(stream: IO[bytes]) -> Iterator[Mapping[str, Any]]:
    """Yield the objects that are whole lines of JSON; all else that a process may write is passed over."""
    whole = True
    while part := stream.readline(LONGEST_LINE):
        ended = part.endswith(b"\n")
        if whole and ended:
            with suppress(ValueError, RecursionError):
                record = json.loads(part)
                if isinstance(record, dict):
                    yield record
        whole = ended


def why_not(run: Path, state: RunState | None) -> str:
    """Return why a run has no finished model to push, empty when it has one. A checkpoint is pushed by its step."""
    status = state.status if state is not None else "unreadable"
    if status not in ACTIVE and (run / layout.MODEL).is_dir():
        return ""
    if status == "done":
        return f"its {layout.MODEL}/ is not there any more"
    yet = " yet" if status in ACTIVE else ""
    steps = [layout.checkpoint_step(each) for each in layout.checkpoints(run)]
    newest = f"; /push {short_name(run.name)}@{steps[-1]} pushes its newest checkpoint" if steps else ""
    return f"nothing to push{yet}, it is {status}{newest}"


def adapter_and_wishes(facts: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
    """Return whether a run has an adapter, and what its recipe says of the Hub: repo, visibility, weights."""
    adapter = "lora" in (facts.get("method"), facts.get("method.name"))
    wishes = {"repo": facts.get("hub.repo") or facts.get("hub") or ""}
    wishes["visibility"] = {"true": "hide", "false": "public"}.get(facts.get("hub.private", ""), "")
    wishes["weights"] = facts.get("hub.weights", "")
    return adapter, {name: value for name, value in wishes.items() if value and value != "null"}


def _text(value: object) -> str:
    return TOKEN.sub("hf_…", str(value)[:LONGEST_TEXT])


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _failure(error: Any) -> Failure:
    if not isinstance(error, Mapping):
        return Failure(_text(error))
    return Failure(_text(error.get("message") or "it failed"), _text(error.get("hint") or ""))


def _ready(record: Any) -> Ready:
    """Raises KeyError, TypeError, ValueError or AttributeError for what nobody could agree to."""
    if not isinstance(record["private"], bool):
        raise TypeError("private")
    files = tuple((str(each["name"]), int(each["bytes"])) for each in record["files"])[:MOST_FILES]
    repo, url = str(record["repo"]), str(record["url"])
    new, weights = bool(record.get("new")), str(record.get("weights"))
    return Ready(repo, url, record["private"], new, weights, files, int(record["bytes"]))


def _done(record: Mapping[str, Any], ready: Ready | None) -> Done:
    private = record.get("private", ready.private if ready is not None else True)
    url = record.get("url") or (ready.url if ready is not None else "")
    return Done(str(url), str(record.get("commit") or ""), bool(private), bool(record.get("unchanged")))
