"""The other end of the worker protocol: a worker process to ask, from which torch's import and crashes stay away."""

from __future__ import annotations

import itertools
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from signal import SIGKILL, SIGTERM
from types import TracebackType
from typing import Any

from hftune.asking.protocol import MAX_LINE, VERSION, Id, RequestError
from hftune.errors import HftuneError

Event = dict[str, Any]
ENDS = ("done", "error")
COMMAND = (sys.executable, "-P", "-m", "hftune", "worker")
LAST_WORDS = 800  # characters of the worker's stderr shown when it dies


class WorkerDied(HftuneError):  # noqa: N818 - it names what happened
    """The worker process ended before it answered."""


class WorkerClient:
    """A `hftune worker` process. Requests go out at once; `next_event` gives what comes back for one of them.

    The worker is in a session of its own: Ctrl-C in the terminal reaches this process alone, which then decides. It
    ends by itself when this process does, however that happens.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        command: Sequence[str] = COMMAND,
        on_end: Callable[[], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        """`arguments` are those of `command`; `on_end` is called from a thread when the worker writes no more.

        `on_event` gets every event, from the same thread, and `next_event` then none: for who asks much at once.
        """
        self._on_end = on_end
        self._writing = threading.Lock()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,
            )
        except BaseException:
            self._stderr.close()
            raise
        self._ids = itertools.count(1)
        self._events: queue.Queue[Event | None] = queue.Queue()
        self._deliver = on_event or self._events.put
        threading.Thread(target=self._read, name="worker-events", daemon=True).start()

    def request(self, op: str, **fields: Any) -> Id:
        """Send a request; return its id. Raises WorkerDied, and RequestError for one that no worker would read."""
        number = self.new_id()
        self.send(number, op, **fields)
        return number

    def new_id(self) -> int:
        """Return the id of a request that `send` will send: who waits for its events elsewhere must know it before."""
        return next(self._ids)

    def send(self, number: Id, op: str, **fields: Any) -> None:
        """Send a request under an id of `new_id`; raises as `request` does."""
        line = json.dumps({"v": VERSION, "id": number, "op": op, **fields}).encode("ascii")
        if len(line) > MAX_LINE:
            # The worker could not tell whose line it is, so its error would reach nobody.
            message = f"what is asked takes {len(line)} bytes, and {MAX_LINE} is the most"
            raise RequestError("too-long", message, "Send a shorter text, or begin a new conversation.")
        assert self._process.stdin is not None
        try:
            with self._writing:  # cancel comes from another thread
                self._process.stdin.write(line + b"\n")
                self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self.death() from None

    def next_event(self, id: Id) -> Event:
        """Wait for the next event of a request (events of others are passed over). Raises WorkerDied.

        May be interrupted by Ctrl-C and called again: no event is lost.
        """
        while True:
            event = self._events.get()
            if event is None:
                self._events.put(None)
                raise self.death()
            if event.get("id") == id:
                return event

    def cancel(self, target: Id) -> None:
        """Ask the worker to end a request early; its events still come."""
        self.request("cancel", target=target)

    @property
    def process_id(self) -> int:
        """The process id of the worker."""
        return self._process.pid

    def end(self) -> None:
        """Ask the worker to end now, whatever it does; waits for nothing, from any thread. `close` still follows."""
        with suppress(OSError):
            self._process.send_signal(SIGTERM)

    def kill(self) -> None:
        """End the worker at once, also one that is stopped or reads nothing; `close` still follows."""
        with suppress(OSError):
            self._process.kill()

    def close(self) -> None:
        """End the worker and wait until it has."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        # Nothing is lost when it is in the middle of an answer: it only reads.
        for signal, seconds in ((None, 0.5), (SIGTERM, 3.0), (SIGKILL, None)):
            if signal is not None:
                self._process.send_signal(signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
        self._stderr.close()

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                with suppress(ValueError):
                    self._deliver(json.loads(line))
        self._events.put(None)
        if self._on_end is not None:
            self._on_end()

    def death(self) -> WorkerDied:
        """Wait for a worker that has ended or is about to; return how it ended, with its last words as the hint."""
        code = self._process.wait()
        words = ""
        with suppress(ValueError):  # it is closed
            self._stderr.seek(0)
            words = self._stderr.read().decode("utf-8", "replace").strip()[-LAST_WORDS:]
        if words.startswith("hftune: "):
            message, _, hint = words.removeprefix("hftune: ").partition("\n")
            return WorkerDied(message, hint.strip(), exit_code=code if code > 0 else None)
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        return WorkerDied(f"the worker ended ({reason}) before it answered", hint=words or "It left no message.")
