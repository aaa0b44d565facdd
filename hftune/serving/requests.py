"""What requests ask: OpenAI's fields read into what a worker is asked. What cannot be done is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hftune.asking.decoding import Decoding, decoding_from
from hftune.errors import UsageError
from hftune.serving.fields import Fields, as_text, check_count, wrong
from hftune.serving.limits import Limits
from hftune.serving.problems import ApiError, bad, sentence

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
MOST_STOPS = 16
MOST_BANNED = 64
# Fields that say who asks or how the answer may be kept.
IGNORED = ("user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier", "parallel_tool_calls")


@dataclass(frozen=True)
class Writing:
    """What is to be written: for each answer what a worker's `generate` is asked with, and how it is written."""

    model: str | None
    asked: tuple[dict[str, Any], ...]
    decoding: Decoding
    stream: bool
    include_usage: bool


@dataclass(frozen=True)
class Labelling:
    """Texts to label; `pairs` are the second texts of a run that takes two at a time."""

    model: str | None
    texts: list[str]
    pairs: list[str] | None


def chat(body: Mapping[str, Any], limits: Limits) -> Writing:
    """Read the body of /v1/chat/completions."""
    fields = Fields(body)
    messages = fields.take("messages")
    if not isinstance(messages, list):
        raise wrong(messages, "messages", "a list of messages")
    if not messages:
        raise bad("messages is empty", "messages")
    asked = [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]
    for name in ("tools", "functions"):
        fields.only(name, [])
    fields.only("tool_choice", "none", "auto")
    fields.only("function_call", "none", "auto")
    fields.only("response_format", {"type": "text"})
    fields.only("modalities", ["text"])
    fields.only("logprobs", False)
    for name in ("top_logprobs", "audio", "prediction", "reasoning_effort", "web_search_options", "verbosity"):
        fields.only(name)
    return _writing(fields, [{"messages": asked}], limits, ("max_tokens", "max_completion_tokens"))


def completion(body: Mapping[str, Any], limits: Limits) -> Writing:
    """Read the body of /v1/completions."""
    fields = Fields(body)
    prompt = fields.take("prompt")
    if isinstance(prompt, list) and prompt and not all(isinstance(item, str) for item in prompt):
        raise bad("prompt is not a text or a list of texts; token ids are not supported", "prompt")
    if prompt is None:
        raise bad("prompt is missing", "prompt")
    prompts = fields.texts("prompt", limits.max_texts)
    fields.only("best_of", 1)
    fields.only("echo", False)
    for name in ("logprobs", "suffix"):
        fields.only(name)
    return _writing(fields, [{"prompt": text} for text in prompts], limits, ("max_tokens",))


def classify(body: Mapping[str, Any], limits: Limits) -> Labelling:
    """Read the body of /v1/classify."""
    fields = Fields(body)
    model = fields.text("model")
    value = fields.take("input")
    items = value if isinstance(value, list) else [value]
    check_count(items, limits.max_texts, "input")
    pairs = [_pair(item, f"input[{index}]") for index, item in enumerate(items) if isinstance(item, list)]
    if pairs and len(pairs) < len(items):
        raise bad("input mixes texts and pairs of texts", "input")
    paths = [f"input[{index}]" for index in range(len(items))] if isinstance(value, list) else ["input"]
    texts = [pair[0] for pair in pairs] or [
        _filled(item, path, "a text, or a list of texts or of pairs of texts")
        for item, path in zip(items, paths, strict=True)
    ]
    fields.ignore("user")
    fields.end()
    return Labelling(model, texts, [pair[1] for pair in pairs] or None)


def _writing(fields: Fields, asked: list[dict[str, Any]], limits: Limits, lengths: tuple[str, ...]) -> Writing:
    model = fields.text("model")
    stream = fields.flag("stream")
    options = fields.object("stream_options")
    include_usage = options.flag("include_usage")
    options.ignore("include_obfuscation")
    options.end()
    decoding = _decoding(fields, limits, lengths)
    fields.only("n", 1)
    for name in ("presence_penalty", "frequency_penalty"):
        fields.only(name, 0, 0.0)
    fields.only("logit_bias", {})
    fields.ignore(*IGNORED)
    fields.end()
    return Writing(model, tuple(asked), decoding, stream, include_usage)


def _decoding(fields: Fields, limits: Limits, lengths: tuple[str, ...]) -> Decoding:
    """Return how answers are written; what is left out is as in `hftune chat`."""
    given = {name: value for name in lengths if (value := fields.whole(name)) is not None}
    if len(set(given.values())) > 1:
        raise bad(f"{' and '.join(given)} differ", next(iter(given)))
    settings: dict[str, Any] = {"max_new_tokens": next(iter(given.values()), None)}
    for name, value in given.items():
        if not 1 <= value <= limits.max_tokens:
            raise bad(f"{name} is {'too large' if value > 1 else value}: 1 to {limits.max_tokens} can be had", name)
    for name in ("temperature", "top_p", "repetition_penalty"):
        settings[name] = fields.number(name)
    for name in ("top_k", "seed"):
        settings[name] = fields.whole(name)
    if fields.take("stop") != []:
        settings["stop"] = fields.texts("stop", MOST_STOPS)
    if fields.take("ban") != []:
        settings["ban"] = fields.texts("ban", MOST_BANNED)
    try:
        return decoding_from({name: value for name, value in settings.items() if value not in (None, [])})
    except UsageError as error:
        raise bad(sentence(error), error.message.partition(":")[0]) from None


def _message(message: Any, path: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise wrong(message, path, "a message")
    fields = Fields(message, path)
    role = fields.text("role")
    if role not in ROLES:
        raise wrong(role, f"{path}.role", "one of " + ", ".join(ROLES))
    content = fields.take("content")
    text = (
        "".join(_part(part, f"{path}.content[{index}]") for index, part in enumerate(content))
        if isinstance(content, list)
        else as_text(content, f"{path}.content")
    )
    # Clients hand an answer back as they got it, with all that it might have held.
    for name in ("name", "refusal", "audio", "function_call", "tool_call_id"):
        fields.only(name)
    for name in ("tool_calls", "annotations"):
        fields.only(name, [])
    fields.end()
    return {"role": ROLES[role], "content": text}


def _part(part: Any, path: str) -> str:
    """Return the text of a part of a message; pictures and sound are refused."""
    if not isinstance(part, dict):
        raise wrong(part, path, "a part of a message")
    fields = Fields(part, path)
    kind = fields.text("type")
    if kind != "text":
        raise ApiError(
            400, f"{path}.type is not supported but as text: nothing else is read", code="unsupported", param=path
        )
    text = as_text(fields.take("text"), f"{path}.text")
    fields.end()
    return text


def _pair(item: list[Any], path: str) -> tuple[str, str]:
    if len(item) != 2:
        raise bad(f"{path} has {len(item)} texts; a pair has two", path)
    first, second = (_filled(text, f"{path}[{index}]", "a text") for index, text in enumerate(item))
    return first, second


def _filled(value: Any, path: str, expected: str) -> str:
    """Return a text that says something, as `hftune predict` wants them."""
    text = as_text(value, path, expected)
    if not text.strip():
        raise bad(f"{path} is empty", path)
    return text
