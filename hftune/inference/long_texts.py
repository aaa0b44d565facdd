"""Very long texts cut before they are tokenized: a tokenizer takes some 450 bytes for each character of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hftune.inference.loading import LoadedRun

LEAST = 1 << 14  # characters that are not worth a look
CHARACTERS_A_TOKEN = 64


class LongTexts:
    """Leaves out of a text what a model will not read anyway; its answer stays the same."""

    def __init__(self, loaded: LoadedRun) -> None:
        from hftune.tasks._encoding import token_limit

        data, self._tokenizer = loaded.recipe.data, loaded.tokenizer
        self._limit, _ = token_limit(data, loaded.model.config, self._tokenizer)
        # A window is read of every part, of a pair how much is read depends on both, and some read the end.
        reads_beginning = getattr(self._tokenizer, "truncation_side", "right") == "right"
        self._cuts = data.too_long != "window" and data.text_pair is None and reads_beginning

    def cut(self, text: str) -> str:
        """Return a beginning with twice the tokens that are read, where that is far from the end; else the text."""
        length = max(LEAST, CHARACTERS_A_TOKEN * self._limit)
        while self._cuts and length < len(text):
            # Tokens far before the cut are those of the whole text: a tokenizer looks no further than some words.
            if len(self._tokenizer(text[:length], verbose=False)["input_ids"]) > 2 * self._limit:
                return text[:length]
            length *= 4  # mostly blanks
        return text
