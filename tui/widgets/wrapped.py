"""Text that may still grow, cleaned and broken into rows of so many columns; what came before is not done again."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import split_graphemes

from ..drawing import sanitize

LONGEST = 100_000  # characters that are shown of one text
TAB = "    "
# Where a sequence of control characters may begin that another piece of the text ends.
_UNSAFE = re.compile(r"[\x1b\x80-\x9f]")
# Punctuation that no row begins with.
_CLOSING = frozenset("，。！？；：、）】》」』”’…,.!?;:)]}")


class Wrapped:
    """The rows of a text. `grow` takes the whole text each time and does the work for what is new of it."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.hidden = 0  # characters over LONGEST that are not shown
        self._raw = 0
        self._clean = ""
        self._unsafe = False
        self._columns = 0
        self._line_start = 0  # in the clean text, of the last row

    def grow(self, raw: str, columns: int, *, anew: bool = False) -> None:
        """Show `raw` in rows of `columns`; `anew`: it is another text than before, not just a longer one."""
        shown = raw[:LONGEST]
        self.hidden = len(raw) - len(shown)
        if anew or len(shown) < self._raw or columns != self._columns:
            self.rows, self._raw, self._clean, self._unsafe, self._line_start = [], 0, "", False, 0
            self._columns = columns
        if len(shown) == self._raw and self.rows:
            return
        added = shown[self._raw :]
        self._raw = len(shown)
        self._unsafe = self._unsafe or _UNSAFE.search(added) is not None
        if self._unsafe:  # a sequence may end only now: all of it is cleaned again
            self._clean, self.rows, self._line_start = _cleaned(shown), [], 0
        else:
            self._clean += _cleaned(added)
        self._wrap()

    def _wrap(self) -> None:
        """Break the text from the start of the last row on: only that row can still change."""
        if self.rows:
            self.rows.pop()
        start = self._line_start
        for line in self._clean[start:].split("\n"):
            for first, last in breaks(line, self._columns):
                self.rows.append(line[first:last])
                self._line_start = start + first
            start += len(line) + 1


def _cleaned(text: str) -> str:
    return sanitize(text, lines=True).replace("\t", TAB)


def wrap(text: str, columns: int) -> list[str]:
    """Return a text, cleaned, in rows of at most `columns` columns."""
    wrapped = Wrapped()
    wrapped.grow(text, columns)
    return wrapped.rows


def breaks(line: str, columns: int) -> Iterator[tuple[int, int]]:
    """Yield where the rows of a line begin and end: between words, in Chinese anywhere, never inside a character."""
    columns = max(2, columns)
    narrow = line.isascii()
    start = 0
    while True:
        end = min(len(line), start + columns) if narrow else _fitting(line, start, columns)
        if end >= len(line):
            yield start, len(line)
            return
        cut, following = _between_words(line, start, end)
        yield start, cut
        start = following


def _fitting(line: str, start: int, columns: int) -> int:
    """Return the end of the longest piece from `start` on that takes at most `columns`, and at least one character."""
    for length in (columns, 4 * columns):  # more marks than that on few letters are cut
        piece = line[start : start + length]
        used, end = 0, 0
        for _, last, width in split_graphemes(piece)[0]:
            if used + width > columns:
                return start + max(1, end)
            used, end = used + width, last
    return start + max(1, end)


def _between_words(line: str, start: int, end: int) -> tuple[int, int]:
    """Return where a row that could end at `end` ends, and where the next one begins."""
    if line[end] == " ":
        return end, end + 1
    if _wide(line[end]) or _wide(line[end - 1]):
        if line[end] in _CLOSING and end - start > 2:
            return end - 1, end - 1
        return end, end
    space = line.rfind(" ", start, end)
    if space <= start:
        return end, end
    last_wide = next((at for at in range(end - 1, space, -1) if _wide(line[at])), None)
    return (space, space + 1) if last_wide is None else (last_wide + 1, last_wide + 1)


def _wide(character: str) -> bool:
    """Tell whether words are not set apart by spaces where this character is: Chinese, Japanese, Korean, emoji."""
    return character >= "\u2e80"
