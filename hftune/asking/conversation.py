"""A conversation with a worker: history, settings, and one question at a time. Knows no terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hftune.asking.client import ENDS, WorkerClient
from hftune.asking.decoding import Decoding, decoding_from
from hftune.asking.protocol import MAIN, START, Id
from hftune.errors import HftuneError, UsageError

Event = dict[str, Any]
Show = Callable[[Event], None]


class AskFailed(HftuneError):  # noqa: N818 - it names what happened
    """The worker could not answer one question, or load one model, and goes on; `code` is one of the protocol's."""

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint)
        self.code = code


class Conversation:
    """What has been said, and how answers are written.

    A chat model gets the whole conversation. A model of plain text gets it as one text that goes on (an empty line
    lets it go on by itself), until it ends the text; then a new one begins. A model trained on prompts and answers gets
    each prompt alone. A classifier and a model that guesses masked words have no history. A model that takes two texts
    at a time gets the two lines of a text, where `two_lines` allows that; else it cannot be asked.
    """

    def __init__(self, client: WorkerClient, decoding: Decoding, name: str = MAIN, *, two_lines: bool = False) -> None:
        self.client = client
        self.decoding = decoding
        self.name = name
        self._two_lines = two_lines
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
        """Wait until the worker has loaded its run; raises AskFailed when it cannot."""
        self._take_model(START, show)

    def load(self, show: Show, run: str, step: int | None = None, *, base: bool = False) -> bool:
        """Load another model under this conversation's name; raises AskFailed when it cannot be, and then none is.

        Returns whether it was loaded: not when that was cancelled.
        """
        fields = {"run": run, "model": self.name, "base": base, **({} if step is None else {"step": step})}
        return self._take_model(self.client.request("load", **fields), show)

    def _take_model(self, request: Id, show: Show) -> bool:
        self.model = {}
        found, last = self._follow(request, show)
        if last["event"] == "error":
            raise AskFailed(last["message"], last["hint"], last.get("code", ""))
        self.model = found or {}
        if self.model.get("pairs") and not self._two_lines:
            raise UsageError(
                "this model takes two texts at a time", hint="Use `hftune predict RUN --input FILE` with both columns."
            )
        return found is not None

    def ask(self, text: str, show: Show) -> Event | None:
        """Ask one thing; every event goes to `show`. Returns the result, None when it was cancelled before it had any.

        Ctrl-C cancels the answer. Raises AskFailed, UsageError for a text that is not two lines where the model takes
        two, and RequestError for more than can be asked at once.
        """
        pair = self._pair(text) if self.model.get("pairs") else None
        self._before, self._last = list(self.messages), text
        if self.classifies:
            texts = {"texts": [text]} if pair is None else {"texts": pair[:1], "pairs": pair[1:]}
            request = self.client.request("classify", model=self.name, **texts)
        elif self.fills:
            request = self.client.request("fill", model=self.name, texts=[text])
        else:
            # Without history where the style has none: the worker would pass over it anyway.
            history = [] if self.model.get("style") == "completion" else self.messages
            asked = [*history, {"role": "user", "content": text}]
            request = self.client.request("generate", model=self.name, messages=asked, decoding=self.decoding.to_dict())
        return self._answer(request, text, show)

    def explain(self, text: str, method: str, show: Show) -> Event | None:
        """Ask why a text is labelled as it is; returns the explanation, None when it was cancelled.

        Ctrl-C cancels it. Raises AskFailed when it cannot be explained, UsageError and RequestError as `ask` does.
        """
        pair = self._pair(text) if self.model.get("pairs") else None
        texts = {"text": text} if pair is None else {"text": pair[0], "pair": pair[1]}
        request = self.client.request("explain", model=self.name, methods=[method], **texts)
        data, last = self._follow(request, show)
        if last["event"] == "error":
            raise AskFailed(last["message"], last["hint"], last.get("code", ""))
        return data

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

    def _pair(self, text: str) -> list[str]:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) != 2:
            raise UsageError("this model takes two texts at a time", hint="Write one on each of two lines.")
        return lines

    def _answer(self, request: Id, text: str, show: Show) -> Event | None:
        data, last = self._follow(request, show)
        if last["event"] == "error":
            raise AskFailed(last["message"], last["hint"], last.get("code", ""))
        if data is not None and "text" in data:
            self.messages += [{"role": "user", "content": text}, {"role": "assistant", "content": data["text"]}]
            if self.model.get("style") == "text" and data["finish_reason"] == "eos":
                self.messages = []
        return data

    def _follow(self, request: Id, show: Show) -> tuple[Event | None, Event]:
        """Hand out the events of a request up to its last; return the data of its result, if any, and the last event.

        Ctrl-C cancels it, and its last events still come.
        """
        data: Event | None = None
        while True:
            event: Event | None = None
            try:
                event = self.client.next_event(request)
                if event["event"] == "result":
                    data = event["data"]
                show(event)
            except KeyboardInterrupt:
                if request == START:
                    raise
                self.client.cancel(request)
            if event is not None and event["event"] in ENDS:
                return data, event
