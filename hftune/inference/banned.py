"""Banned words: which tokens would write one, whatever way it is cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_UNSPACED = "\u2e80"  # scripts from here on (Chinese, Japanese …) put no spaces between words


class BannedWords:
    """Which tokens must not come next, given the text so far.

    A word counts where it stands as a word, in any casing: banning "he" leaves "there" alone. A token is forbidden
    when the text with it would contain the word or end in it, so no way of spelling it in tokens is left open.
    """

    def __init__(self, words: Sequence[str], pieces: Sequence[str]) -> None:
        """`pieces` is the text of every token of the vocabulary, in the order of ids."""
        self._words = list(dict.fromkeys(word.strip().lower() for word in words))
        self._pieces = [piece.lower() for piece in pieces]
        self._longest = max(len(word) for word in self._words)
        self._starting: dict[tuple[str, int], frozenset[int]] = {}
        inside = [re.compile(_left(word) + re.escape(word) + _right(word)) for word in self._words]
        # From position 1: whether a word may stand at a token's very start depends on the text before it.
        self._always = frozenset(
            token for token, piece in enumerate(self._pieces) if any(pattern.search(piece, 1) for pattern in inside)
        )

    def after(self, text: str) -> set[int]:
        """Return the tokens that must not come after `text`."""
        tail = text[-self._longest - 1 :].lower()
        forbidden = set(self._always)
        for word in self._words:
            for size in range(len(word)):
                start = len(tail) - size
                written = start >= 0 and tail[start:] == word[:size]
                if written and not (_left(word) and start > 0 and re.match(r"\w", tail[start - 1])):
                    forbidden |= self._beginning(word, size)
        return forbidden

    def _beginning(self, word: str, size: int) -> frozenset[int]:
        """Return the tokens that complete `word` after its first `size` characters."""
        if (word, size) not in self._starting:
            pattern = re.compile(re.escape(word[size:]) + _right(word))
            found = (token for token, piece in enumerate(self._pieces) if pattern.match(piece))
            self._starting[word, size] = frozenset(found)
        return self._starting[word, size]


@lru_cache(maxsize=2)  # 50,000 tokens take half a second to decode
def token_pieces(tokenizer: PreTrainedTokenizerBase, size: int) -> tuple[str, ...]:
    """Return what each of `size` tokens adds to a text; special tokens add nothing.

    Each is decoded behind another one, because some decoders drop the space before a first token.
    """
    anchor = next(iter(tokenizer("a", add_special_tokens=False)["input_ids"]), None)
    special = set(tokenizer.all_special_ids)
    known = [token for token in range(min(size, len(tokenizer))) if token not in special]
    lead = [] if anchor is None else [anchor]
    settings = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    skipped = len(tokenizer.decode(lead, **settings)) if lead else 0
    texts = tokenizer.batch_decode([[*lead, token] for token in known], **settings)
    pieces = [""] * size
    for token, text in zip(known, texts, strict=True):
        pieces[token] = text[skipped:]
    return tuple(pieces)


def canonical_spellings(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each word as written, lower, upper and capitalised, alone and after a space."""
    spellings = []
    for word in words:
        cases = dict.fromkeys((word, word.lower(), word.upper(), word.capitalize(), word.title()))
        for text in (lead + case for case in cases for lead in ("", " ")):
            ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
            if ids and ids not in spellings:
                spellings.append(ids)
    return spellings


def _left(word: str) -> str:
    return r"(?<!\w)" if re.match(r"\w", word) and word[0] < _UNSPACED else ""


def _right(word: str) -> str:
    return r"(?!\w)" if re.match(r"\w", word[-1]) and word[-1] < _UNSPACED else ""
