"""Text that comes in pieces, broken between words: a terminal by itself breaks wherever its last column is."""

from __future__ import annotations

import re

from hftune.sanitize import columns_of

_WORD = re.compile(r"\s*\S+")


class Wrapping:
    """Lines of at most `width` columns out of pieces of text; the word that may still grow is held back."""

    def __init__(self, width: int) -> None:
        self._width = max(1, width)
        self._column = 0
        self._held = ""

    def push(self, piece: str) -> str:
        """Take in text; return what can be shown, broken into lines."""
        text = self._held + piece
        words = _WORD.findall(text)
        rest = text[sum(map(len, words)) :]
        # Text without spaces (Chinese) would never be shown: what cannot be one word of a line is not held.
        if words and not rest and columns_of(words[-1]) == len(words[-1]) <= self._width:
            rest = words.pop()
        self._held = rest
        return "".join(map(self._placed, words))

    def close(self) -> str:
        """Return what was held back: the text has ended."""
        rest, self._held = self._held, ""
        return self._placed(rest) if rest.strip() else rest

    def _placed(self, word: str) -> str:
        """Return a word and the white space before it, on this line if it fits, else on the next."""
        above, newline, space = word[: len(word) - len(word.lstrip())].rpartition("\n")
        shown = word.lstrip()
        if newline:
            self._column = 0
        if self._column and self._column + columns_of(space + shown) > self._width:
            above, newline, space, self._column = above + newline, "\n", "", 0
        self._column += columns_of(space + shown)
        if self._column > self._width:  # a word longer than a line, which the terminal breaks
            self._column %= self._width
        return above + newline + space + shown
