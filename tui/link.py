"""One worker process and the thread that asks it: jobs are carried out one after the other, its death is reported."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from hftune.asking.client import WorkerClient, WorkerDied
from hftune.asking.conversation import Conversation
from hftune.asking.protocol import Id

Job = Callable[[WorkerClient], None]
KILLED = "signal 9"


class Connect(Protocol):
    """Starts a worker process with these arguments; WorkerClient does."""

    def __call__(self, arguments: Sequence[str], *, on_end: Callable[[], None]) -> WorkerClient: ...


class Link:
    """Nothing here waits but the thread. `died(link, message, hint)` is called from it, unless `end` came before."""

    def __init__(self, connect: Connect, arguments: Sequence[str], died: Callable[[Link, str, str], None]) -> None:
        self.conversations: dict[str, Conversation] = {}
        self._connect = connect
        self._arguments = arguments
        self._died = died
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._client: WorkerClient | None = None
        self._lock = threading.Lock()
        self._over = False

    def start(self) -> None:
        """Start the process and carry out jobs from now on."""
        threading.Thread(target=self._serve, name="ask", daemon=True).start()

    def put(self, job: Job) -> None:
        """Have a job carried out after those before it."""
        self._jobs.put(job)

    def cancel(self, request: Id = None) -> None:
        """Stop a request, or (None) whatever the worker does; its last events still come."""
        if self._client is not None:  # writing to a pipe may wait
            threading.Thread(target=_cancel, args=(self._client, request), name="ask-stop", daemon=True).start()

    def end(self) -> None:
        """End the process, whatever it does; jobs that wait are not carried out."""
        with self._lock:
            self._over = True
            if self._client is not None:
                self._client.end()
        self._jobs.put(None)

    def _serve(self) -> None:
        try:
            client = self._connect(self._arguments, on_end=lambda: self._jobs.put(_raise_death))
            with self._lock:
                self._client = client
                if self._over:
                    client.end()
            while (job := self._jobs.get()) is not None and not self._over:
                job(client)
        except WorkerDied as error:
            self._report(error.message, _explained(error))
        except Exception as error:  # a bug here must not leave a screen waiting for ever
            self._report(f"the worker cannot be asked: {type(error).__name__}: {error}", "")
        finally:
            if self._client is not None:
                self._client.close()

    def _report(self, message: str, hint: str) -> None:
        if not self._over:
            self._died(self, message, hint)


def _raise_death(client: WorkerClient) -> None:
    raise client.death()


def _explained(error: WorkerDied) -> str:
    return f"Perhaps the machine ran out of memory. {error.hint}" if KILLED in error.message else error.hint


def _cancel(client: WorkerClient, request: Id) -> None:
    with suppress(WorkerDied):
        client.cancel(request)
