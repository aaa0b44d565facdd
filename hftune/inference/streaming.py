"""Text that is only shown once it is certain: whole characters, and nothing of a stop text."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class TokenText:
    """Turns token ids into text piece by piece, never showing half a character.

    A byte-level vocabulary cuts characters into tokens; an unfinished one decodes to U+FFFD at the very end, and only
    the last such mark can still change, so it is held back until the next token. Decodes a short window each time: the
    cost of a token does not grow with the answer.
    """

    WINDOW = 16  # tokens decoded again for each new one
    CONTEXT = 6  # tokens kept when the window moves: decoders may treat a first token differently

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._shown = 0  # characters of the window's text that have been given out

    def push(self, token: int) -> str:
        """Take in one token; return the text that has become certain."""
        self._window.append(token)
        certain, whole = self._certain()
        piece = certain[self._shown :]
        self._shown = max(self._shown, len(certain))
        # Move on between whole characters; bytes that never make one must not let the window grow for ever.
        if len(self._window) > (self.WINDOW if whole else 4 * self.WINDOW):
            self._window = self._window[-self.CONTEXT :]
            self._shown = len(self._certain()[0])
        return piece

    def _certain(self) -> tuple[str, bool]:
        text = self._decode(self._window)
        return (text[:-1], False) if text.endswith("\ufffd") else (text, True)

    def close(self) -> str:
        """Return what was held back, without a character that never became whole."""
        rest = self._decode(self._window)[self._shown :]
        self._window, self._shown = [], 0
        return rest.removesuffix("\ufffd")


class StopText:
    """Lets text through up to the first stop text, holding back an end that could become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.stopped = False

    def push(self, piece: str) -> str:
        """Take in text; return what is certainly part of the answer. After a stop text nothing comes any more."""
        if self.stopped:
            return ""
        text = self._held + piece
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def close(self) -> str:
        """Return what was held back: it did not become a stop text."""
        rest, self._held = self._held, ""
        return rest


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of `text` that begins `stop` without being all of it."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
