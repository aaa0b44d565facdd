"""Conversations as text: a template when the tokenizer has none, and where the assistant speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hftune.errors import DataError, ModelError, Problem, RecipeError, closest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Made of plain words, so that a model without role tokens of its own can use it. The answer starts with the space
# after the colon, as words do in byte-level vocabularies, and ends with end-of-text.
LINES = (
    "{% for message in messages %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] | trim }}{{ eos_token }}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
TEMPLATES: Mapping[str, str] = {"lines": LINES}
ROLES = ("system", "user", "assistant")

# A piece of text and whether it is to be learned.
Segment = tuple[str, bool]


def template_text(wanted: str | None, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the template that `wanted` names or is; left out: the tokenizer's own, else `lines`.

    Raises RecipeError for a name that is none (a template holds braces).
    """
    if wanted is None:
        own = tokenizer.chat_template
        return own if isinstance(own, str) else LINES
    if "{" in wanted:
        return wanted
    if wanted not in TEMPLATES:
        raise RecipeError([Problem("task.template", f"no chat template named {wanted!r}", closest(wanted, TEMPLATES))])
    return TEMPLATES[wanted]


def segments(tokenizer: PreTrainedTokenizerBase, messages: Any, place: str, answer_only: bool = True) -> list[Segment]:
    """Return a conversation as text in pieces, each with whether it is learned: the assistant's turns are.

    A turn is what the template adds after its generation prompt, up to and with end-of-text, so that a model asked
    with the same template continues just as it was trained. Raises DataError (starting with `place`) for messages
    that are none, and ModelError for a template that renders earlier turns differently once later ones follow.
    """
    turns = _checked(messages, place)
    pieces: list[Segment] = []
    done = ""
    for index, turn in enumerate(turns):
        # An answer to nothing is context only: templates render no empty conversation.
        if turn["role"] != "assistant" or index == 0:
            continue
        before = _render(tokenizer, turns[:index], place, add_generation_prompt=True)
        after = _render(tokenizer, turns[: index + 1], place, add_generation_prompt=False)
        if not (before.startswith(done) and after.startswith(before)):
            raise ModelError(
                f"{place}: the chat template changes earlier turns when later ones follow",
                hint="Its answers cannot be told apart; set task.template: lines, or one of your own.",
            )
        answer, rest = _through_end(after[len(before) :], tokenizer.eos_token)
        pieces += [(before[len(done) :], not answer_only), (answer, True), (rest, not answer_only)]
        done = after
    whole = _render(tokenizer, turns, place, add_generation_prompt=False)
    pieces.append((whole[len(done) :] if whole.startswith(done) else "", not answer_only))
    return [piece for piece in pieces if piece[0]]


def _through_end(answer: str, end: Any) -> tuple[str, str]:
    if isinstance(end, str) and end and end in answer:
        cut = answer.rindex(end) + len(end)
        return answer[:cut], answer[cut:]
    return answer, ""


def _render(tokenizer: Any, turns: Sequence[Mapping[str, str]], place: str, *, add_generation_prompt: bool) -> str:
    try:
        text: str = tokenizer.apply_chat_template(
            list(turns), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:  # Jinja's errors and what a template raises by itself
        raise ModelError(f"{place}: the chat template fails: {str(error).strip().splitlines()[0]}") from error
    return text


def _checked(messages: Any, place: str) -> list[dict[str, str]]:
    if not isinstance(messages, (list, tuple)) or not messages:
        raise DataError(f"{place}: {messages!r} is not a list of messages", hint="Each is {role, content}.")
    turns = []
    for message in messages:
        role = message.get("role") if isinstance(message, Mapping) else None
        content = message.get("content") if isinstance(message, Mapping) else None
        if role not in ROLES:
            raise DataError(f"{place}: a message has the role {role!r}", hint=closest(str(role), ROLES))
        if not isinstance(content, str):
            raise DataError(f"{place}: a message of the {role} has no text as content ({content!r})")
        turns.append({"role": role, "content": content})
    return turns
