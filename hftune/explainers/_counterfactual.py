"""Counterfactuals: the fewest changed words with which the model would have answered otherwise.

A word is taken out, or replaced: by one that lies near it in the model's table of embeddings and stands in the train
texts, or by one that a model of masked words puts in its place. A beam search tries one change, then two, up to
`MOST_EDITS`: of the words without which the answer loses most, and from the second change on of what did most as the
first. What is returned was read and answered by the model as a text of its own; of those with the fewest changes the
ones that read best (_fluency.py) come first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hftune.errors import HftuneError, UsageError
from hftune.explainers._asked import Stopped, never
from hftune.explainers._fluency import Fluency
from hftune.explainers._infilling import Infiller, at_hand
from hftune.explainers._question import Question
from hftune.explainers._words import words_of
from hftune.tasks._labels import SINGLE

if TYPE_CHECKING:
    import numpy as np

    from hftune.inference.predictor import Predictor

    Array = np.ndarray[Any, Any]

MOST_EDITS = 3
PLACES = 8  # words that are tried: those without which the answer loses most
NEIGHBOURS = 24  # words tried in the place of each
INFILLED = 12  # more of them, where a model guesses words
BEAM = 12
KEPT = 8  # options of a place that are tried again beside another change
READ = 64  # flipped texts whose fluency is compared
SHOWN = 3
SEEN = 2  # times that a word has to stand in the train texts

Note = Callable[[str], None]


@dataclass(frozen=True)
class Edit:
    """One changed word: its place among the text's words, what it was, and what it became (empty: taken out)."""

    place: int
    old: str
    new: str


@dataclass(frozen=True)
class Counterfactual:
    """A changed text that the model answers otherwise: `label` with probability `share`.

    `perplexity_ratio`: of the text to the one it was (_fluency.py); 1 reads as well, above it worse.
    """

    text: str
    edits: list[Edit]
    label: str
    share: float
    perplexity_ratio: float | None = None


@dataclass(frozen=True)
class Counterfactuals:
    """What was found for a text answered `label`: those with the fewest edits, the most fluent first; none: []."""

    text: str
    label: str
    share: float
    found: list[Counterfactual]
    passes: int


class Neighbourhood:
    """For each word of a text those that may take its place.

    Of the model's table of embeddings, and of the train texts where those are at hand; `guesser`: a predictor of a
    fill-mask run whose guesses are tried too. Without one it is the model that the run began from, where that guesses
    words.
    """

    def __init__(
        self,
        predictor: Predictor,
        note: Note,
        guesser: Predictor | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        """Raises Stopped when `cancelled` turns true meanwhile: the train texts may be many."""
        from hftune.inference.embedding import unit, word_table
        from hftune.inference.words import whole_words
        from hftune.modeling.onnx_model import is_onnx

        self.fluency = Fluency()
        self._infiller = at_hand(predictor, note) if guesser is None else Infiller(guesser)
        self._tokenizer = predictor.loaded.tokenizer
        vocabulary = whole_words(self._tokenizer)
        seen = _train_words(predictor, note, cancelled)
        kept = [
            (index, word)
            for index, word in zip(vocabulary.ids, vocabulary.words, strict=True)
            if seen is None or seen[word.lower()] >= SEEN
        ]
        if is_onnx(predictor.loaded.model):
            note("counterfactuals: an ONNX graph has no word vectors, so words near each one are not tried")
            kept = []
        self._table = word_table(predictor.loaded.model) if kept else None
        self._ids, self._words = [index for index, _ in kept], [word for _, word in kept]
        self._rows = None if self._table is None else unit(self._table[self._ids])

    def options(self, question: Question, places: Sequence[int]) -> dict[int, list[str]]:
        """Return what is tried in each place of the question's words; the empty word takes it out."""
        guessed = [[] for _ in places] if self._infiller is None else self._infiller.words(question, places, INFILLED)
        found = {}
        for place, more in zip(places, guessed, strict=True):
            old = question.words[place].text
            found[place] = list(dict.fromkeys(["", *self.near(old), *(_cased(word, old) for word in more)]))
        return found

    def near(self, word: str, top: int = NEIGHBOURS) -> list[str]:
        """Return the words nearest to a word, itself left out; none for a word that the vocabulary does not know."""
        from hftune.inference.words import nearest, word_pieces, word_vector

        try:
            pieces = word_pieces(self._tokenizer, word)
        except UsageError:
            return []
        if self._table is None or self._rows is None:
            return []
        found = [self._words[one.place] for one in nearest(self._rows, word_vector(self._table, pieces), top + 2)]
        return [_cased(other, word) for other in found if other.lower() != word.lower()][:top]


def find(predictor: Predictor, question: Question, neighbourhood: Neighbourhood, note: Note) -> Counterfactuals:
    """Return the changed texts with the fewest edits that the model answers otherwise than the text itself.

    Raises UsageError for problems other than one label of several: there is no other answer to flip to.
    """
    require_labels(question)
    # As the model answers all of it: of a text that is read in windows the question has the first.
    _, ((answer, share),) = _answers(predictor, question, [edited(question, [])])
    options = neighbourhood.options(question, _places(question))
    flips: list[Counterfactual] = []
    beam: list[tuple[Edit, ...]] = [()]
    passes = question.passes
    for size in range(1, MOST_EDITS + 1):
        tried = _grown(beam, question, options)
        note(f"counterfactuals: {len(tried):,} texts with {size} changed")
        texts = [edited(question, edits) for edits in tried]
        shares, labels = _answers(predictor, question, texts)
        passes += len(texts)
        flips = [
            Counterfactual("\n".join(texts[index]), sorted(tried[index], key=lambda edit: edit.place), label, share)
            for index, (label, share) in enumerate(labels)
            if label != answer and all(map(str.strip, texts[index]))
        ]
        if flips or not tried:
            break
        order = sorted(range(len(tried)), key=lambda index: shares[index])
        beam = [tried[index] for index in order[:BEAM]]
        if size == 1:
            options = _strongest(options, [tried[index][0] for index in order])
    found = _most_fluent(question, flips, neighbourhood.fluency)
    return Counterfactuals(question.text, answer, share, found, passes)


def _strongest(options: dict[int, list[str]], edits: Sequence[Edit]) -> dict[int, list[str]]:
    """Return of each place the options that did most; `edits`: all of them, what did most first."""
    ranked = {place: [edit.new for edit in edits if edit.place == place] for place in options}
    return {place: words[:KEPT] for place, words in ranked.items()}


def _most_fluent(question: Question, flips: list[Counterfactual], fluency: Fluency) -> list[Counterfactual]:
    """Return the flips that read best; of those that cannot be told apart so, the surest."""
    surest = sorted(flips, key=lambda one: -one.share)[:READ]
    ratios = fluency.ratios(question.text, [one.text for one in surest])
    rated = [replace(one, perplexity_ratio=ratio) for one, ratio in zip(surest, ratios, strict=True)]
    return sorted(rated, key=lambda one: one.perplexity_ratio or 0.0)[:SHOWN]


def require_labels(question: Question) -> None:
    """Raise UsageError where there is no other answer to flip to."""
    if question.kind != SINGLE:
        raise UsageError("a counterfactual is another answer: only a model that gives one label of several has them")


def edited(question: Question, edits: Sequence[Edit]) -> tuple[str, ...]:
    """Return the question's text, or both, with the edits made; with a word that goes, so does the space before it."""
    changed = {edit.place: edit.new for edit in edits}
    texts, at = [], 0
    for end in question.ends:
        text = ""
        for place, word in enumerate(question.words):
            if at <= word.start < end:
                new = changed.get(place, word.text)
                text += question.text[at : word.start] + new if new else ""
                at = word.end
        text += question.text[at:end]
        texts.append(text if all(changed.values()) else text.strip())
        at = end + 1
    return tuple(texts)


def _cased(new: str, old: str) -> str:
    """Return a word written as the one that it takes the place of: Like this, LIKE THIS."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def _places(question: Question) -> list[int]:
    """Return the words without which the answer loses most, most first."""
    import numpy as np

    count = len(question.words)
    losses = question.scores(~np.eye(count, dtype=bool))
    return [int(place) for place in np.argsort(losses, kind="stable")[:PLACES]]


def _grown(
    beam: Sequence[tuple[Edit, ...]], question: Question, options: dict[int, list[str]]
) -> list[tuple[Edit, ...]]:
    """Return each of the beam with one more edit, every set of edits once."""
    grown: dict[frozenset[tuple[int, str]], tuple[Edit, ...]] = {}
    for edits in beam:
        taken = {edit.place for edit in edits}
        for place, words in options.items():
            if place in taken:
                continue
            for new in words:
                more = (*edits, Edit(place, question.words[place].text, new))
                grown.setdefault(frozenset((edit.place, edit.new) for edit in more), more)
    return list(grown.values())


def _answers(
    predictor: Predictor, question: Question, texts: Sequence[tuple[str, ...]]
) -> tuple[list[float], list[tuple[str, float]]]:
    """Return the probability of the question's class for each text, and the answer with its own."""
    pairs = [text[1] for text in texts] if texts and len(texts[0]) > 1 else None
    shares: list[float] = []
    labels: list[tuple[str, float]] = []
    for prediction in predictor.classify([text[0] for text in texts], pairs=pairs, cancelled=question.cancelled):
        by_name = prediction.to_dict()["probabilities"]
        shares.append(float(by_name[question.label]))
        labels.append((str(prediction.answer), float(by_name[prediction.answer])))
    question.go_on()
    return shares, labels


def _train_words(predictor: Predictor, note: Note, cancelled: Callable[[], bool]) -> Counter[str] | None:
    """Return how often each word stands in the train texts, in lower case; None where they are not at hand."""
    from hftune.data.load import load_splits
    from hftune.data.texts import Texts

    data = predictor.loaded.recipe.data
    try:
        texts = Texts(load_splits(data, note)["train"], data)
    except HftuneError as error:
        note(f"words are not compared with the train texts: {error.message}")
        return None
    seen: Counter[str] = Counter()
    for row in range(len(texts)):
        if cancelled():
            raise Stopped
        seen.update(word.text.lower() for word in words_of(texts[row]))
    return seen
