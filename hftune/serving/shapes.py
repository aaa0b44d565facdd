"""Answers in OpenAI's shapes: whole ones and the pieces of a stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

Json = dict[str, Any]


class Shape:
    """The shape of one answer: its id, the model's name, and what a text is called in it."""

    prefix: ClassVar[str]
    whole_object: ClassVar[str]
    piece_object: ClassVar[str]

    def __init__(self, model: str) -> None:
        self._common = {"id": f"{self.prefix}-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, results: Sequence[Mapping[str, Any]]) -> Json:
        """Return an answer that is not streamed."""
        choices = [
            {"index": index, **self._text(result["text"]), "finish_reason": finish(result), "logprobs": None}
            for index, result in enumerate(results)
        ]
        return {**self._common, "object": self.whole_object, "choices": choices, "usage": usage(results)}

    def begin(self, index: int) -> list[Json]:
        """Return the chunks that come before the first piece of an answer."""
        return []

    def piece(self, index: int, text: str) -> Json:
        """Return the chunk of a piece of text."""
        return self._chunk([{"index": index, **self._piece(text), "finish_reason": None, "logprobs": None}])

    def end(self, index: int, result: Mapping[str, Any]) -> Json:
        """Return the chunk that ends an answer."""
        return self._chunk([{"index": index, **self._nothing(), "finish_reason": finish(result), "logprobs": None}])

    def used(self, results: Sequence[Mapping[str, Any]]) -> Json:
        """Return the chunk that counts the tokens, after the last answer."""
        return {**self._chunk([]), "usage": usage(results)}

    def _chunk(self, choices: list[Json]) -> Json:
        return {**self._common, "object": self.piece_object, "choices": choices}

    def _text(self, text: str) -> Json:
        return {"text": text}

    def _piece(self, text: str) -> Json:
        return {"text": text}

    def _nothing(self) -> Json:
        return self._piece("")


class Completion(Shape):
    """The shape of /v1/completions."""

    prefix, whole_object, piece_object = "cmpl", "text_completion", "text_completion"


class Chat(Shape):
    """The shape of /v1/chat/completions."""

    prefix, whole_object, piece_object = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def begin(self, index: int) -> list[Json]:
        """Return the chunk that says who speaks."""
        delta = {"role": "assistant", "content": ""}
        return [self._chunk([{"index": index, "delta": delta, "finish_reason": None, "logprobs": None}])]

    def _text(self, text: str) -> Json:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def _piece(self, text: str) -> Json:
        return {"delta": {"content": text}}

    def _nothing(self) -> Json:
        return {"delta": {}}


def labels(model: str, predictions: Sequence[Mapping[str, Any]]) -> Json:
    """Return the answer of /v1/classify: what `hftune predict` says of each text; a number is a `value`."""
    data = [{"index": index, **_prediction(prediction)} for index, prediction in enumerate(predictions)]
    tokens = sum(prediction["tokens"] for prediction in predictions)
    used = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": model, "data": data, "usage": used}


def finish(result: Mapping[str, Any]) -> str:
    """Return why an answer ended: `length`, else `stop` (a stop text, or the model's own end)."""
    return "length" if result["finish_reason"] == "length" else "stop"


def usage(results: Sequence[Mapping[str, Any]]) -> Json:
    """Return how many tokens were read and written."""
    read, written = (sum(result[key] for result in results) for key in ("prompt_tokens", "tokens"))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _prediction(prediction: Mapping[str, Any]) -> Json:
    if prediction["probabilities"]:
        return dict(prediction)
    rest = {key: value for key, value in prediction.items() if key not in ("label", "probabilities")}
    return {"value": prediction["label"], **rest}
