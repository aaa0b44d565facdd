"""Prompts put together as the run was trained, and cut to what the model takes.

Three styles: `chat` (messages through the model's chat template), `completion` (a prompt and the answer to it) and
`text` (a text that goes on). A prompt that leaves no room in the model's context loses its oldest messages, then its
first tokens, and a note says so; where nothing may be left out (`make_whole_prompt`) it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hftune.errors import ModelError, UsageError
from hftune.recipe.schema import DataSection

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Style = Literal["chat", "completion", "text"]
Message = Mapping[str, str]  # role and content
ROLES = ("system", "user", "assistant")
WRITTEN = ("system", "user")  # by people
_MARK, _MARKED = "\ue000{}\ue001", re.compile("\ue000([0-9]+)\ue001")  # characters that no template has


@dataclass(frozen=True)
class Prompt:
    """Token ids ready for the model, how many new tokens fit behind them, and what was left out."""

    ids: list[int]
    max_new_tokens: int
    notes: list[str] = field(default_factory=list)


def style_of(data: DataSection) -> Style:
    """Return how prompts for a model trained on these data look."""
    if data.messages is not None:
        return "chat"
    return "completion" if data.prompt is not None else "text"


def check_messages(messages: Sequence[Any]) -> list[dict[str, str]]:
    """Return messages as plain dicts; raises UsageError for one without a known role or a text."""
    checked = []
    for number, message in enumerate(messages, 1):
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            raise UsageError(f"message {number} has no role", hint="A role is one of: " + ", ".join(ROLES) + ".")
        if not isinstance(message.get("content"), str):
            raise UsageError(f"message {number} has no text in `content`")
        checked.append({"role": message["role"], "content": message["content"]})
    if not checked:
        raise UsageError("there is no message to answer")
    return checked


def running_text(messages: Sequence[Message]) -> str:
    """Return a conversation with a model of plain text as the one text it is: a user's line starts a new line."""
    text = ""
    for message in messages:
        content = message["content"]
        glued = not text or message["role"] == "assistant" or not content or content[0].isspace()
        text += content if glued else "\n" + content
    return text


class TooManyTokensError(UsageError):
    """A prompt that does not fit whole, or leaves less room for the answer than was asked for."""


def make_prompt(
    tokenizer: PreTrainedTokenizerBase,
    style: Style,
    asked: str | Sequence[Message],
    max_new_tokens: int,
    context: int | None,
) -> Prompt:
    """Return the ids of what is asked, cut to leave room in `context` tokens (None: no limit)."""
    notes: list[str] = []
    if style == "chat":
        room = _prompt_room(10**9, max_new_tokens, context)
        ids = _fitting_chat(tokenizer, _conversation(tokenizer, asked), room, notes)
    else:
        ids = _encode(tokenizer, _text(style, asked))
    room = _prompt_room(len(ids), max_new_tokens, context)
    if len(ids) > room:
        notes.append(f"the first {len(ids) - room} tokens of the prompt do not fit in the model's {context} tokens")
        ids = ids[-room:]
    most = max_new_tokens if context is None else min(max_new_tokens, context - len(ids))
    if most < max_new_tokens:
        notes.append(f"the answer is at most {most} tokens: the model takes {context} with the prompt")
    return Prompt(ids, most, notes)


def make_whole_prompt(
    tokenizer: PreTrainedTokenizerBase,
    style: Style,
    asked: str | Sequence[Message],
    max_new_tokens: int | None,
    most_tokens: int,
    default: int,
) -> Prompt:
    """Return the ids of all that is asked; raises TooManyTokensError when prompt and answer pass `most_tokens`.

    `max_new_tokens` None is an answer of `default` tokens, or of what room there is.
    """
    chat = style == "chat"
    ids = _template(tokenizer, _conversation(tokenizer, asked)) if chat else _encode(tokenizer, _text(style, asked))
    if len(ids) + (max_new_tokens or 1) > most_tokens:
        answer = "1 of an answer" if max_new_tokens is None else f"{max_new_tokens} asked for"
        message = f"{len(ids)} tokens of the prompt and {answer} are more than the {most_tokens} that are taken"
        raise TooManyTokensError(message, hint="Shorten what is asked, or ask for a shorter answer.")
    return Prompt(ids, max_new_tokens or min(default, most_tokens - len(ids)))


def written_parts(
    tokenizer: PreTrainedTokenizerBase, style: Style, asked: str | Sequence[Message]
) -> tuple[str, list[tuple[int, int]]]:
    """Return the text that a prompt's ids are of, and the characters [start, end) of it that people wrote.

    In a chat those are what user and system said; the rest is the template's and the model's. Raises ModelError for a
    template that rewrites what is said.
    """
    if style != "chat":
        text = _text(style, asked)
        return text, [(0, len(text))]
    messages = _conversation(tokenizer, asked)
    text = _rendered(tokenizer, messages)
    marked = _rendered(
        tokenizer,
        [{**one, "content": _MARK.format(number) if one["role"] in WRITTEN else one["content"]}
         for number, one in enumerate(messages)],
    )  # fmt: skip
    first, *rest = _MARKED.split(marked)
    found, at = [], len(first)
    for number, behind in zip(rest[::2], rest[1::2], strict=True):
        said = messages[int(number)]["content"]
        part = next((one for one in (said, said.strip()) if text.startswith(one + behind, at)), None)
        if part is None or not text.startswith(first):
            raise ModelError("the chat template rewrites what is said, so that its words cannot be told from its own")
        found.append((at, at + len(part)))
        at += len(part) + len(behind)
    return text, found


def start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that a text without tokens begins with."""
    return int(next((one for one in (tokenizer.bos_token_id, tokenizer.eos_token_id) if one is not None), 0))


def _conversation(tokenizer: PreTrainedTokenizerBase, asked: str | Sequence[Message]) -> list[Message]:
    if tokenizer.chat_template is None:
        raise ModelError("the run was trained on messages, but its tokenizer has no chat template")
    return [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)


def _text(style: Style, asked: str | Sequence[Message]) -> str:
    """Return what is asked of a model that was not trained on messages, as one text."""
    if isinstance(asked, str):
        return asked
    if style == "completion":
        # The model never saw a conversation: each prompt is answered alone.
        users = [message["content"] for message in asked if message["role"] == "user"]
        return users[-1] if users else ""
    return running_text(asked)


def _prompt_room(prompt_tokens: int, max_new_tokens: int, context: int | None) -> int:
    """Return how many prompt tokens may stay: what the answer leaves, and at least half of the context."""
    if context is None:
        return prompt_tokens
    return min(prompt_tokens, max(1, context - max_new_tokens, context // 2), max(1, context - 1))


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the ids of a text as in training: begun by the begin-of-text token where the tokenizer adds one itself."""
    ids = list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    begin = tokenizer.bos_token_id
    if begin is not None and list(tokenizer("", verbose=False)["input_ids"])[:1] == [begin] and ids[:1] != [begin]:
        ids = [begin, *ids]
    return ids or [start_token(tokenizer)]  # nothing is asked: begin as a text begins


def _fitting_chat(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], room: int, notes: list[str]
) -> list[int]:
    """Return the ids of the conversation, without its oldest messages when it is too long; instructions stay."""
    head = [message for message in messages[:1] if message["role"] == "system"]
    rest = messages[len(head) :]
    dropped = 0
    while True:
        ids = _template(tokenizer, head + rest)
        if len(ids) <= room or len(rest) <= 1:
            break
        # Question and answer leave together: a conversation that begins with an answer is not one.
        size = 2 if len(rest) > 2 and rest[1]["role"] == "assistant" else 1
        rest, dropped = rest[size:], dropped + size
    if dropped:
        notes.append(f"the oldest {dropped} messages no longer fit in the model's context and were left out")
    return ids


def _template(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    return _encode(tokenizer, _rendered(tokenizer, messages))


def _rendered(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> str:
    try:
        text: str = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    except Exception as error:  # Jinja's errors and what a template raises by itself
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"the model's chat template fails: {reason}") from error
    return text
