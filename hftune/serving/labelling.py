"""Labels for the texts of many requests, a load at a time: what comes while the worker is busy goes to it together.

A load is what is sent to the worker at once: up to `AHEAD` forward passes' worth of texts, from which the worker makes
batches of like length. While it works on one load, texts gather for the next.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from hftune.asking.protocol import MAX_LINE
from hftune.errors import HftuneError
from hftune.serving.limits import Limits
from hftune.serving.model import Model
from hftune.serving.problems import ApiError, bug, from_worker

AHEAD = 4  # forward passes in a load
# An idle worker waits for as many texts as there were in the load before: who was just answered asks again. It waits so
# long at most, or this share of the time that load took.
GATHERING_SECONDS = 0.005
GATHERING_SHARE = 0.1
ROOM = MAX_LINE - 1024  # bytes of a load's texts in the line that goes to the worker

Prediction = dict[str, Any]


@dataclass
class _Asked:
    """A request: the answers there are, how many are missing, and whether nobody waits for them any more."""

    done: asyncio.Future[None]
    answers: list[Prediction]
    left: int
    gone: bool = False


@dataclass(frozen=True)
class _Text:
    asked: _Asked
    place: int
    text: str
    pair: str | None
    size: int


class Labeller:
    """The labels of one model. `run` does the work, as a task; it must be running for `label` to return."""

    def __init__(self, model: Model, limits: Limits) -> None:
        self._model = model
        self._max_batch = limits.max_batch
        self._waiting: deque[_Text] = deque()
        self._since = 0.0  # when the first of them came, or the worker's last answer
        self._company, self._seconds = 1, 0.0  # texts in the load before, and how long it took
        self._sending: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def label(self, texts: Sequence[str], pairs: Sequence[str] | None) -> list[Prediction]:
        """Return a prediction a text, in order; to be cancelled takes back the texts that have not been sent."""
        loop = asyncio.get_running_loop()
        asked = _Asked(loop.create_future(), [{}] * len(texts), len(texts))
        waiting = [
            _text(asked, place, text, None if pairs is None else pairs[place]) for place, text in enumerate(texts)
        ]
        if not self._waiting:
            self._since = loop.time()
        self._waiting += waiting
        self._changed.set()
        try:
            await asked.done
        finally:
            asked.gone = True
        return asked.answers

    async def run(self) -> None:
        """Send load after load, until cancelled."""
        try:
            while True:
                self._changed.clear()
                pause = self._pause()
                if pause == 0.0:
                    self._sending = asyncio.create_task(self._send(self._load()))
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._changed.wait()
        finally:
            if self._sending is not None:
                self._sending.cancel()

    def _pause(self) -> float | None:
        """Return after how many seconds to send what waits: 0 now, None not before something changes."""
        while self._waiting and self._waiting[0].asked.gone:
            self._waiting.popleft()
        if self._sending is not None or not self._waiting:
            return None
        if len(self._waiting) >= min(self._company, AHEAD * self._max_batch):
            return 0.0
        patience = max(GATHERING_SECONDS, GATHERING_SHARE * self._seconds)
        return max(0.0, self._since + patience - asyncio.get_running_loop().time())

    def _load(self) -> list[_Text]:
        """Take the texts that go next: those that came first, as many as make a load."""
        load: list[_Text] = []
        room = ROOM
        while self._waiting and len(load) < AHEAD * self._max_batch and self._waiting[0].size <= room:
            text = self._waiting.popleft()
            if not text.asked.gone:
                load.append(text)
                room -= text.size
        return load

    async def _send(self, load: list[_Text]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            found = await self._answers(load)
            for text, answer in zip(load, found, strict=True):
                text.asked.answers[text.place] = answer
                text.asked.left -= 1
                if not text.asked.left and not text.asked.done.done():
                    text.asked.done.set_result(None)
        except ApiError as error:
            _refuse(load, error)
        except Exception as error:
            _refuse(load, bug(error))
        finally:
            self._since = clock()
            self._sending, self._company, self._seconds = None, len(load), self._since - began
            self._changed.set()

    async def _answers(self, load: list[_Text]) -> list[Prediction]:
        fields: dict[str, Any] = {"texts": [text.text for text in load], "batch_size": self._max_batch}
        if load[0].pair is not None:
            fields["pairs"] = [text.pair for text in load]
        found: list[Prediction] = []
        try:
            worker = await self._model.worker()
            async with aclosing(worker.ask("classify", **fields)) as answer:
                async for event in answer:
                    if event["event"] == "result":
                        found = event["data"]["predictions"]
        except HftuneError as error:
            raise from_worker(error) from None
        self._model.answered()
        return found


def _text(asked: _Asked, place: int, text: str, pair: str | None) -> _Text:
    size = len(json.dumps(text)) + len(json.dumps(pair)) + 4
    if size > ROOM:
        message = f"text {place + 1} takes {size} bytes on its way to the model, and {ROOM} is the most"
        raise ApiError(413, message, code="request_too_large", param="input")
    return _Text(asked, place, text, pair, size)


def _refuse(load: list[_Text], error: ApiError) -> None:
    for text in load:
        text.asked.gone = True  # what else it asked need not be sent
        if not text.asked.done.done():
            text.asked.done.set_exception(error)
