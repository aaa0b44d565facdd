"""A run that is served: its worker process, started again when it ends, and how many requests it has in hand."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from hftune.asking.client import WorkerDied
from hftune.asking.conversation import AskFailed
from hftune.errors import HftuneError
from hftune.serving.limits import Limits
from hftune.serving.problems import ApiError, sentence
from hftune.serving.worker import Worker

TRIES = 3  # starts of a worker without an answer in between; then none for a while
PAUSE_SECONDS = 30.0
MOST_RETRY_SECONDS = 60
DOES = {
    "text-classification": ("gives labels", "POST /v1/classify"),
    "text-generation": ("writes text", "POST /v1/chat/completions or /v1/completions"),
    "fill-mask": ("guesses masked words", "`hftune predict`"),
}

CLASSIFIES, GENERATES = SERVED = ("text-classification", "text-generation")

State = Literal["loading", "ready", "restarting", "failed"]


class Model:
    """A run that is served under `name`; `run` is what a worker is told to load (a path, or path@step)."""

    def __init__(self, name: str, run: str, limits: Limits, log: Callable[[str], None]) -> None:
        self.name = name
        self.state: State = "loading"
        self.reason = ""
        self.restarts = 0
        self.description: dict[str, Any] = {}
        self.created = int(time.time())
        self.inside = 0  # requests that wait or are being answered
        self._run, self._limits, self._log = run, limits, log
        self._starting: asyncio.Task[Worker] | None = None
        self._worker: Worker | None = None
        self._watching: asyncio.Task[None] | None = None
        self._tries = 0
        self._failed_at = 0.0
        self._seconds = 1.0  # that a request takes, lately
        self._closed = False

    async def load(self) -> None:
        """Start the worker and wait until the run is loaded; raises HftuneError saying why it cannot be."""
        try:
            await self._begin()
        except (AskFailed, WorkerDied) as error:
            raise HftuneError(f"{self.name}: {error.message}", error.hint) from None
        task = self.description["task"]
        if task not in SERVED:
            does, where = DOES[task]
            raise HftuneError(f"{self.name} {does} ({task}), which is not served", hint=f"Use {where}.")

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Take in a request, or refuse it when too many are there."""
        if self.inside >= self._limits.queue:
            message = f"{self.inside} requests are waiting for {self.name}"
            wait = max(1, min(MOST_RETRY_SECONDS, math.ceil(self._seconds)))
            raise ApiError(429, message, code="queue_full", retry_after=wait)
        self.inside += 1
        began = time.monotonic()
        try:
            yield
        finally:
            self.inside -= 1
            self._seconds += 0.2 * (time.monotonic() - began - self._seconds)

    async def require(self, task: str) -> None:
        """Wait until the run is loaded; refuse what a model of another task is asked."""
        await self.worker()
        mine = self.description["task"]
        if mine != task:
            does, where = DOES[mine]
            raise ApiError(400, f"{self.name} {does} ({mine}): use {where}", code="wrong_task", param="model")

    async def worker(self) -> Worker:
        """Return a worker that has loaded the run, once there is one; raises ApiError when there will be none soon."""
        if self.state == "failed":
            left = self._failed_at + PAUSE_SECONDS - time.monotonic()
            if left > 0:
                raise self._unavailable(math.ceil(left))
            self._tries, self.state = TRIES - 1, "restarting"
            self._begin()
        assert self._starting is not None
        try:
            if self._starting.done():
                return self._starting.result()
            return await asyncio.shield(self._starting)
        except (AskFailed, WorkerDied):
            raise self._unavailable(math.ceil(PAUSE_SECONDS)) from None

    def answered(self) -> None:
        """Say that the worker has answered, so that it counts as sound."""
        self._tries = 0

    async def close(self, *, at_once: bool = False) -> None:
        """End the worker; the model cannot be asked any more."""
        self._closed = True
        for task in (self._watching, self._starting):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, AskFailed, WorkerDied):
                    await task
        if self._worker is not None:
            await self._worker.close(at_once=at_once)

    def _begin(self) -> asyncio.Task[Worker]:
        self._starting = asyncio.create_task(self._start())
        self._starting.add_done_callback(_look)
        return self._starting

    async def _start(self) -> Worker:
        while True:
            self._tries += 1
            worker = self._worker = Worker(self._run)
            try:
                self.description = await worker.load()
            except AskFailed as error:
                await worker.close()
                self._fail(error)
                raise
            except WorkerDied as error:
                await worker.close()
                if self._tries >= TRIES:
                    self._fail(error)
                    raise
                self._log(f"{self.name}: {error.message}; trying again")
                continue
            self.state, self.reason = "ready", ""
            seconds = self.description.get("load_seconds", 0)
            self._log(f"{self.name}: ready ({self.description['task']}, loaded in {seconds:.1f} s)")
            self._watching = asyncio.create_task(self._watch(worker))
            return worker

    async def _watch(self, worker: Worker) -> None:
        """Start another worker when this one ends."""
        await worker.ended.wait()
        if self._closed:
            return
        self.restarts += 1
        self.state = "restarting"
        again = self._tries < TRIES
        if again:
            self._begin()
        died = await worker.death()
        await worker.close()
        # Not its last words: they may be about what it was asked.
        self._log(f"{self.name}: {died.message.removesuffix(' before it answered')}")
        if not again:
            self._fail(died)

    def _fail(self, error: HftuneError) -> None:
        self.state, self.reason, self._failed_at = "failed", error.message, time.monotonic()
        self._log(f"{self.name}: failed: {sentence(error)}; no other try for {PAUSE_SECONDS:.0f} s")

    def _unavailable(self, seconds: int) -> ApiError:
        message = f"{self.name} cannot be asked now: its process ended {TRIES} times, or its run cannot be loaded"
        return ApiError(503, message, code="model_failed", retry_after=seconds)


def _look(task: asyncio.Task[Worker]) -> None:
    """Look at how a start went, so that asyncio does not complain when nobody else does."""
    if not task.cancelled():
        task.exception()
