"""A prompt and its answer as tokens and as words: which word each token is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hftune.errors import UsageError
from hftune.explainers._asked import require_offsets
from hftune.explainers._words import Word, owners, words_of
from hftune.inference.prompts import make_whole_prompt, written_parts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hftune.inference.predictor import Predictor
    from hftune.inference.prompts import Message

NO_LIMIT = 10**9  # tokens, for a model that has none
HALF = "\ufffd"  # what the bytes of half a character decode to


@dataclass(frozen=True)
class Spelling:
    """Tokens `ids`, the `text` that people read in them, its `words`, and each token's word (`owners`; None: of none).

    `room`: tokens that an answer may have behind a prompt.
    """

    ids: list[int]
    pieces: list[str]
    text: str
    words: list[Word]
    owners: list[int | None]
    room: int = 0


def spell_prompt(
    predictor: Predictor, asked: str | Sequence[Message], max_new_tokens: int | None, default: int
) -> Spelling:
    """Return a prompt as the run was trained on them; in a chat only what user and system said has words.

    `text`: what people wrote, each message on a line of its own. Nothing is left out: raises TooManyTokensError where
    prompt and answer (`max_new_tokens`; None: `default`, or what room there is) do not fit in the model.
    """
    tokenizer, style = predictor.loaded.tokenizer, predictor.style
    assert style is not None
    require_offsets(tokenizer)
    whole = make_whole_prompt(tokenizer, style, asked, max_new_tokens, predictor.context or NO_LIMIT, default)
    text, parts = written_parts(tokenizer, style, asked)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    added = len(whole.ids) - len(encoded["input_ids"])  # the tokenizer's token at the beginning
    shown, words = "", []
    starts: list[int] = []
    for start, end in parts:
        shown += "\n" if starts else ""
        starts.append(len(shown))
        words += [Word(one.text, one.start + len(shown), one.end + len(shown)) for one in words_of(text[start:end])]
        shown += text[start:end]
    offsets = [(0, 0)] * added + [_within(parts, starts, start, end) for start, end in encoded["offset_mapping"]]
    return Spelling(
        whole.ids, _pieces(tokenizer, whole.ids), shown, words, owners(words, offsets), whole.max_new_tokens
    )


def spell_answer(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> Spelling:
    """Return an answer's tokens as words; of a character cut into several tokens each is its word's."""
    ends = [len(_decode(tokenizer, ids[:count]).rstrip(HALF)) for count in range(1, len(ids) + 1)]
    text = _decode(tokenizer, ids)
    offsets: list[tuple[int, int]] = []
    behind = (0, 0)  # of the token behind: what adds no character is part of the one that does
    for start, end in zip(reversed([0, *ends[:-1]]), reversed(ends), strict=True):
        behind = (start, end) if end > start else behind
        offsets.insert(0, behind)
    words = words_of(text)
    return Spelling(list(ids), _pieces(tokenizer, ids), text, words, owners(words, offsets))


def answer_ids(predictor: Predictor, asked: str | Sequence[Message], answer: str) -> list[int]:
    """Return the tokens of a given answer as the run would have learned it behind the prompt, without its end.

    Raises UsageError for one without tokens.
    """
    tokenizer, data = predictor.loaded.tokenizer, predictor.loaded.recipe.data
    if predictor.style == "chat":
        answer = _turn(tokenizer, asked, answer)
    elif data.completion is not None and not answer[:1].isspace():
        # A template that begins with a space (`completion: " {text}"`): without it no answer of training began so.
        answer = data.completion[: len(data.completion) - len(data.completion.lstrip())] + answer
    ids = list(tokenizer(answer, add_special_tokens=False, verbose=False)["input_ids"]) if answer.strip() else []
    if not ids:
        raise UsageError("--answer has no word", hint="Leave it out for the model's own answer.")
    return ids


def _turn(tokenizer: PreTrainedTokenizerBase, asked: str | Sequence[Message], answer: str) -> str:
    """Return an answer as the chat template writes it behind its generation prompt."""
    from hftune.tasks._chat import segments

    before = [{"role": "user", "content": asked}] if isinstance(asked, str) else list(asked)
    pieces = segments(tokenizer, [*before, {"role": "assistant", "content": answer}], "--answer")
    turn = [text for text, learned in pieces if learned][-1]
    said = answer.strip()
    at = turn.find(said)
    return turn[: at + len(said)] if at >= 0 else turn  # without the marks that end it


def _within(parts: Sequence[tuple[int, int]], starts: Sequence[int], start: int, end: int) -> tuple[int, int]:
    """Return the characters of a token in the text shown; none for one that shares none with any part."""
    end = max(end, start + 1)  # a space whose offsets the tokenizer trimmed
    for (first, last), shown in zip(parts, starts, strict=True):
        if min(end, last) > max(start, first):
            return max(start, first) - first + shown, min(end, last) - first + shown
    return 0, 0


def _decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _pieces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    return [str(piece) for piece in tokenizer.convert_ids_to_tokens(list(ids))]
