"""What a text is made of for people: words, each Chinese or Japanese character by itself, marks of punctuation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Scripts written without spaces: a run of them would be one word.
_ALONE = r"\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
_ALONE += r"\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_ALONE}]|(?:(?![{_ALONE}])[\w'’])+|[^\w\s]")


@dataclass(frozen=True)
class Word:
    """A word and where it stands: characters [start, end) of the text."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """Return the words of a text in order; what lies between them is space."""
    return [Word(found[0], found.start(), found.end()) for found in _WORD.finditer(text)]


def owners(words: Sequence[Word], offsets: Sequence[tuple[int, int]]) -> list[int | None]:
    """Return the word that each token belongs to: the one it shares most characters with, None for special tokens.

    `offsets`: characters [start, end) of each token; those of special tokens are empty. A token of space alone belongs
    to the word after it.
    """
    found: list[int | None] = []
    for start, end in offsets:
        if end <= start or not words:
            found.append(None)
            continue
        shared = [min(end, word.end) - max(start, word.start) for word in words]
        best = max(range(len(words)), key=lambda index: shared[index])
        if shared[best] <= 0:
            best = next((index for index, word in enumerate(words) if word.start >= start), len(words) - 1)
        found.append(best)
    return found
