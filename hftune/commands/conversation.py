"""A conversation with a worker: history, settings, and one question at a time. Knows no terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hftune.errors import HftuneError, UsageError
from hftune.inference.client import ENDS, WorkerClient
from hftune.inference.decoding import Decoding, decoding_from
from hftune.inference.protocol import START, Id

Event = dict[str, Any]
Show = Callable[[Event], None]


class AskFailed(HftuneError):  # noqa: N818 - it names what happened
    """The worker could not answer one question; the conversation goes on."""


class Conversation:
    """What has been said, and how answers are written.

    A chat model gets the whole conversation. A model of plain text gets it as one text that goes on (an empty line
    lets it go on by itself), until it ends the text; then a new one begins. A model trained on prompts and answers gets
    each prompt alone. A classifier and a model that guesses masked words have no history.
    """

    def __init__(self, client: WorkerClient, decoding: Decoding) -> None:
        self.client = client
        self.decoding = decoding
        self.model: dict[str, Any] = {}
        self.messages: list[dict[str, str]] = []
        self._before: list[dict[str, str]] = []
        self._last: str | None = None

    @property
    def classifies(self) -> bool:
        """Whether lines are labelled rather than answered."""
        return self.model.get("task") == "text-classification"

    @property
    def fills(self) -> bool:
        """Whether lines are read for their masked words."""
        return self.model.get("task") == "fill-mask"

    def start(self, show: Show) -> None:
        """Wait until the worker has loaded its run; raises HftuneError when it cannot."""
        event = self._follow(START, show)
        if event["event"] == "error":
            raise HftuneError(event["message"], event["hint"])
        if self.model.get("pairs"):
            raise UsageError(
                "this model takes two texts at a time", hint="Use `hftune predict RUN --input FILE` with both columns."
            )

    def ask(self, text: str, show: Show) -> Event | None:
        """Ask one thing; every event goes to `show`. Returns the result, None when it was cancelled before it had any.

        Ctrl-C cancels the answer. Raises AskFailed, and RequestError for more than can be asked at once.
        """
        self._before, self._last = list(self.messages), text
        if self.classifies:
            request = self.client.request("classify", texts=[text])
        elif self.fills:
            request = self.client.request("fill", texts=[text])
        else:
            # Without history where the style has none: the worker would pass over it anyway.
            history = [] if self.model.get("style") == "completion" else self.messages
            asked = [*history, {"role": "user", "content": text}]
            request = self.client.request("generate", messages=asked, decoding=self.decoding.to_dict())
        return self._answer(request, text, show)

    def retry(self, show: Show) -> Event | None:
        """Ask the last thing again, forgetting its answer."""
        if self._last is None:
            raise UsageError("nothing has been asked yet")
        self.messages = self._before
        return self.ask(self._last, show)

    def reset(self) -> None:
        """Forget the conversation."""
        self.messages, self._before, self._last = [], [], None

    def set(self, settings: Mapping[str, Any]) -> None:
        """Change how answers are written; raises UsageError and changes nothing when one is wrong."""
        self.decoding = replace(decoding_from(settings, self.decoding))

    def _answer(self, request: Id, text: str, show: Show) -> Event | None:
        result: dict[str, Event] = {}

        def keep(event: Event) -> None:
            if event["event"] == "result":
                result["data"] = event["data"]
            show(event)

        last = self._follow(request, keep)
        if last["event"] == "error":
            raise AskFailed(last["message"], last["hint"])
        data = result.get("data")
        if data is not None and "text" in data:
            self.messages += [{"role": "user", "content": text}, {"role": "assistant", "content": data["text"]}]
            if self.model.get("style") == "text" and data["finish_reason"] == "eos":
                self.messages = []
        return data

    def _follow(self, request: Id, show: Show) -> Event:
        """Hand out the events of a request up to its last; Ctrl-C cancels it, and its last events still come."""
        while True:
            event: Event | None = None
            try:
                event = self.client.next_event(request)
                if request == START and event["event"] == "result":
                    self.model = event["data"]
                show(event)
            except KeyboardInterrupt:
                if request == START:
                    raise
                self.client.cancel(request)
            if event is not None and event["event"] in ENDS:
                return event
