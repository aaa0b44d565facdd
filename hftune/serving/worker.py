"""A worker process seen from an event loop: any number of questions at once, each with the events of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from hftune.asking.client import COMMAND, ENDS, Event, WorkerClient, WorkerDied
from hftune.asking.conversation import AskFailed
from hftune.asking.protocol import START, Id

STUCK_SECONDS = 30.0  # after which a worker that was asked to leave an answer, and has not, is killed
LAST_SECONDS = 5.0  # that a worker which writes no more has left to end

Events = asyncio.Queue[Event | None]


class Worker:
    """One life of a worker process, begun by making this; it must be made within a running loop."""

    def __init__(self, run: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._open: dict[Id, Events] = {START: asyncio.Queue()}
        self._leaving: set[asyncio.Task[None]] = set()
        self._dead: asyncio.Task[WorkerDied] | None = None
        self.ended = asyncio.Event()
        # Writing waits while the worker does not read, so it is done elsewhere, in the order it was asked for.
        self._writing = ThreadPoolExecutor(1, "worker-requests")
        self._client = WorkerClient(
            [run], COMMAND, on_end=partial(self._call, self._end), on_event=partial(self._call, self._take)
        )

    async def load(self) -> dict[str, Any]:
        """Wait until the run is loaded; return its description. Raises AskFailed and WorkerDied."""
        found: dict[str, Any] = {}
        events = self._open[START]
        while (event := await self._next(events)) is not None:
            if event["event"] == "result":
                found = event["data"]
        del self._open[START]
        return found

    async def ask(self, op: str, **fields: Any) -> AsyncGenerator[Event, None]:
        """Ask, and yield what comes before the answer's end; to leave early (aclose) is to cancel.

        Raises AskFailed, WorkerDied, and RequestError for more than can be asked at once.
        """
        if self.ended.is_set():
            raise await self.death()
        number, events = self._client.new_id(), Events()
        self._open[number] = events
        ended = False
        try:
            await self._write(partial(self._client.send, number, op, **fields))
            while (event := await self._next(events)) is not None:
                yield event
            ended = True
        except (AskFailed, WorkerDied):
            ended = True
            raise
        finally:
            if ended:
                self._open.pop(number, None)
            else:
                leaving = self._loop.create_task(self._leave(number, events))
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    def kill(self) -> None:
        """End the process at once."""
        self._client.kill()

    async def close(self, *, at_once: bool = False) -> None:
        """End the process and wait until it has."""
        if at_once:
            self._client.kill()
        for leaving in self._leaving:
            leaving.cancel()
        # It may be stopped, and then hold up whoever writes to it: closing waits for that one.
        late = self._loop.call_later(LAST_SECONDS, self._client.kill)
        await asyncio.to_thread(self._client.close)
        late.cancel()
        self._writing.shutdown(wait=False)

    async def death(self) -> WorkerDied:
        """Return how the process ended, once it has."""
        if self._dead is None:
            self._dead = self._loop.create_task(self._await_death())
        return await asyncio.shield(self._dead)

    async def _await_death(self) -> WorkerDied:
        late = self._loop.call_later(LAST_SECONDS, self._client.kill)
        try:
            return await asyncio.to_thread(self._client.death)
        finally:
            late.cancel()

    async def _next(self, events: Events) -> Event | None:
        """Return the next event of a question, None after the last."""
        event = await events.get()
        if event is None:
            raise await self.death()
        if event["event"] == "error":
            raise AskFailed(event["message"], event["hint"], event.get("code", ""))
        return None if event["event"] in ENDS else event

    async def _write(self, write: partial[None]) -> None:
        try:
            await self._loop.run_in_executor(self._writing, write)
        except RuntimeError:  # the executor is shut down
            raise await self.death() from None

    async def _leave(self, number: Id, events: Events) -> None:
        """Cancel a request; a worker that does not end it is stuck, and is killed."""
        cancel, answers = self._client.new_id(), Events()
        self._open[cancel] = answers
        try:
            async with asyncio.timeout(STUCK_SECONDS):
                await self._write(partial(self._client.send, cancel, "cancel", target=number))
                running: list[Id] = []
                while (event := await self._next(answers)) is not None:
                    running = event["data"]["cancelled"]
                while number in running and await self._next(events) is not None:
                    pass
        except TimeoutError:
            self.kill()
        except (AskFailed, WorkerDied):
            pass
        finally:
            self._open.pop(number, None)
            self._open.pop(cancel, None)

    # From the thread that reads what the worker writes.

    def _call(self, take: Any, *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(take, *arguments)

    def _take(self, event: Event) -> None:
        events = self._open.get(event.get("id"))
        if events is not None:
            events.put_nowait(event)

    def _end(self) -> None:
        self.ended.set()
        for events in self._open.values():
            events.put_nowait(None)
