"""Answers written one at a time by a generator's worker; who asks meanwhile waits in turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from hftune.asking.client import Event
from hftune.asking.decoding import Decoding
from hftune.errors import HftuneError
from hftune.serving.limits import Limits
from hftune.serving.model import Model
from hftune.serving.problems import ApiError, bug, from_worker

Events = asyncio.Queue[Event | ApiError | None]


class Writer:
    """The answers of one model."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self._turn = asyncio.Lock()  # taken in the order in which it was asked for

    async def write(self, asked: Mapping[str, Any], decoding: Decoding) -> AsyncGenerator[Event, None]:
        """Yield the tokens and the result of an answer as they come; to leave early (aclose) is to cancel it."""
        events = Events()
        # A task of its own: who reads slowly must not keep the turn.
        writing = asyncio.create_task(self._write(asked, decoding, events))
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, ApiError):
                    raise event
                yield event
        finally:
            writing.cancel()

    async def _write(self, asked: Mapping[str, Any], decoding: Decoding, events: Events) -> None:
        fields = {**asked, "decoding": decoding.to_dict(), "most_tokens": self._limits.max_tokens}
        try:
            async with self._turn:
                worker = await self._model.worker()
                async with aclosing(worker.ask("generate", **fields)) as answer:
                    async for event in answer:
                        events.put_nowait(event)
                self._model.answered()
            events.put_nowait(None)
        except ApiError as error:
            events.put_nowait(error)
        except HftuneError as error:
            events.put_nowait(from_worker(error))
        except Exception as error:
            events.put_nowait(bug(error))
