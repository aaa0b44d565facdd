"""Fuzzy completion and the history of the prompt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LONGEST_HISTORY = 200


@dataclass(frozen=True)
class Candidate:
    """Something that can stand in the prompt instead of the text from `start` on."""

    text: str
    help: str = ""
    start: int = 0


def score(wanted: str, name: str) -> float | None:
    """Return how well `wanted` stands for `name` (higher is better), None when its letters are not in it in order.

    Letters that stand together, or begin a word, count more; among equals the shorter name wins.
    """
    if not wanted:
        return 0.0
    query, text = wanted.lower(), name.lower()
    if text.startswith(query):
        return 1000.0 - len(text)
    total, place = 0.0, -1
    for letter in query:
        found = text.find(letter, place + 1)
        if found < 0:
            return None
        begins = found == 0 or not text[found - 1].isalnum()
        total += 3.0 * (found == place + 1) + 2.0 * begins + 1.0
        place = found
    return total - len(text) / 100


def best(wanted: str, candidates: Iterable[Candidate], most: int = 50) -> list[Candidate]:
    """Return the candidates that `wanted` can stand for, best first; those without anything wanted in their order."""
    found = [(value, one) for one in candidates if (value := score(wanted, one.text)) is not None]
    return [one for _, one in sorted(found, key=lambda item: -item[0])][:most]


class History:
    """What was sent from the prompt; up and down walk through it and come back to what was being written."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._place = 0
        self._draft = ""

    def add(self, text: str) -> None:
        """Keep a line; the same one twice in a row is kept once."""
        if text and self._lines[-1:] != [text]:
            self._lines.append(text)
            del self._lines[:-LONGEST_HISTORY]
        self._place = len(self._lines)

    def move(self, step: int, written: str) -> str | None:
        """Return the line `step` (-1: older, 1: newer) away, None at either end."""
        place = self._place + step
        if not 0 <= place <= len(self._lines):
            return None
        if self._place == len(self._lines):
            self._draft = written
        self._place = place
        return self._draft if place == len(self._lines) else self._lines[place]
