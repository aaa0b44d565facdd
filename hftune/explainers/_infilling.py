"""Words for a place of a text, by a model that guesses masked words: fluent, where neighbours of a word need not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hftune.errors import UsageError
from hftune.explainers._question import Question

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor


class Infiller:
    """Guesses words by a fill-mask model; raises UsageError for a predictor of another task."""

    def __init__(self, predictor: Predictor) -> None:
        predictor.require("fill-mask")
        self._predictor = predictor

    def words(self, question: Question, places: Sequence[int], top: int) -> list[list[str]]:
        """Return for each place of the question's words at most `top` words that could stand there, likeliest first."""
        mask = str(self._predictor.mask)
        if mask in question.text:  # it would be guessed as well
            return [[] for _ in places]
        words = [question.words[place] for place in places]
        texts = [question.text[: word.start] + mask + question.text[word.end :] for word in words]
        try:
            found = self._predictor.fill(texts, top=2 * top)
        except UsageError:  # a place beyond what this model reads
            return [[] for _ in places]
        return [
            [token for token, _ in one.masks[0] if token.isalpha() and token.lower() != word.text.lower()][:top]
            for one, word in zip(found, words, strict=True)
        ]


def at_hand(predictor: Predictor, note: Callable[[str], None]) -> Infiller | None:
    """Return what guesses words with the model that the run began from; None where that was not trained to."""
    from hftune.inference.loading import load_word_guesser
    from hftune.inference.predictor import Predictor as Asked

    loaded = load_word_guesser(predictor.loaded, note)
    return None if loaded is None else Infiller(Asked(loaded))
