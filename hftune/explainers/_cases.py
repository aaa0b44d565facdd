"""A labelled row asked why: a value a word by each method, and what the model says with single words left out."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hftune.explainers import CHANCE, registry
from hftune.explainers._evidence import kinds_of
from hftune.explainers._faithfulness import deletion
from hftune.explainers._labelled import LabelledRow
from hftune.explainers._question import Question
from hftune.explainers._suspects import Suspects
from hftune.explainers._words import Word
from hftune.tasks._labels import MULTI, REGRESSION, SINGLE

if TYPE_CHECKING:
    import numpy as np

    from hftune.inference.predictor import Predictor

    Array = np.ndarray[Any, Any]

HALF = 0.5  # of the probability of a label of several that may apply together


@dataclass(frozen=True)
class Drop:
    """What is left without something: the label's probability (of a regression its number); `flipped`: not given."""

    share: float
    flipped: bool


@dataclass(frozen=True)
class Case:
    """A row asked for one label: `label` is its place, `values` are float64 [words] by method, the first one's first.

    `share`: the label's probability (of a regression its number). `strongest`: the word that spoke most for it by the
    first method (of a regression: did most), None where none did. `without`: what is left without single words (in
    lower case, all places of each): the strongest, and those that were asked for. `kinds`: for each word the kinds of
    suspicious evidence that it is; `without_kind`: what is left without all of a kind. `blank`: with no word at all.
    `alone`: of two texts without the first, without the second. `deletions`: by method the area under the deletion
    curve, and that of values drawn by chance; empty where they were not measured.
    """

    row: LabelledRow
    label: int
    kind: str | None
    text: str
    words: list[Word]
    values: dict[str, Array]
    share: float
    strongest: str | None
    without: dict[str, Drop]
    kinds: list[frozenset[str]]
    without_kind: dict[str, Drop]
    blank: Drop
    alone: tuple[Drop, ...] = ()
    deletions: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def given(self) -> bool:
        """Whether the label is in the model's answer."""
        return self.label in self.row.given

    @property
    def right(self) -> bool:
        """Whether the label was given rightly."""
        return not self.row.wrong if self.kind != MULTI else self.given and self.label in self.row.labels

    def sums(self, method: str) -> dict[str, float]:
        """Return for each word (lower case) the sum of its values over the places where it stands."""
        return word_sums(self.words, self.values[method])


def word_sums(words: Sequence[Word], values: Array) -> dict[str, float]:
    """Return for each word (lower case) the sum of its values float64 [words]."""
    found: dict[str, float] = {}
    for word, value in zip(words, values.tolist(), strict=True):
        found[word.text.lower()] = found.get(word.text.lower(), 0.0) + value
    return found


def strongest(sums: Mapping[str, float], kind: str | None) -> str | None:
    """Return the word with the largest sum (of a regression: by its size); None where none is above 0."""
    weights = {word: abs(value) if kind == REGRESSION else value for word, value in sums.items()}
    best = max(weights, key=lambda word: weights[word])
    return best if weights[best] > 0 else None


class Asker:
    """Asks row after row, by the methods called `names`.

    `seconds`: what each has taken so far; `cut`: how many texts were not read whole.
    """

    def __init__(self, predictor: Predictor, names: Sequence[str], seed: int) -> None:
        """Raises UsageError for a method that does not exist."""
        self._predictor, self._seed = predictor, seed
        self._plugins = {name: registry.load(name) for name in names}
        self.titles = {name: plugin.TITLE for name, plugin in self._plugins.items()}
        self.seconds = dict.fromkeys(names, 0.0)
        self.cut = 0

    def ask(self, row: LabelledRow, suspects: Suspects, measured: bool) -> list[Case]:
        """Return a row's cases: its answer; of labels that may apply together each of them.

        `suspects`: without which words to tell what is left. `measured`: tell also how faithful the
        values for the answer (of several labels the first) are. Raises UsageError for a text without words.
        """
        kind, names = self._predictor.problem_type, self._predictor.labels
        main = row.given[0] if row.given else max(range(len(names)), key=lambda at: row.probabilities[names[at]])
        question = Question(self._predictor, row.text, None if kind == REGRESSION else names[main], row.pair)
        self.cut += bool(question.notes)
        found = []
        for label in range(len(names)) if kind == MULTI else [main]:
            # A copy has the same memory of what the model said: methods that draw read nothing twice.
            one = copy(question)
            one.target = label
            found.append(self._case(row, one, suspects, measured and label == main))
        return found

    def _case(self, row: LabelledRow, question: Question, suspects: Suspects, measured: bool) -> Case:
        values = {name: self._attribute(name, question) for name in self._plugins}
        sums = word_sums(question.words, next(iter(values.values())))
        best = strongest(sums, question.kind)
        words = {word for word in sums if suspects(question.target, word)} | ({best} if best else set())
        kinds = kinds_of(question.text, question.words, suspects.names[question.target])
        drops, without, without_kind = _drops(question, words, kinds)
        return Case(
            row, question.target, question.kind, question.text, question.words, values,
            share=drops[_WHOLE].share,
            strongest=best,
            without=without,
            kinds=kinds,
            without_kind=without_kind,
            blank=drops[_BLANK],
            alone=(drops[_FIRST], drops[_SECOND]) if _FIRST in drops else (),
            deletions=self._deletions(question, values, row.number) if measured else {},
        )  # fmt: skip

    def _attribute(self, name: str, question: Question) -> Array:
        began = time.monotonic()
        found = self._plugins[name].attribute(question, self._seed).values
        self.seconds[name] += time.monotonic() - began
        return found

    def _deletions(self, question: Question, values: dict[str, Array], row: int) -> dict[str, tuple[float, float]]:
        drawn = registry.load(CHANCE).attribute(question, self._seed + row).values
        chance = deletion(question, drawn)
        return {name: (deletion(question, one), chance) for name, one in values.items()}


_WHOLE, _BLANK, _FIRST, _SECOND = range(4)


def _drops(
    question: Question, words: Collection[str], kinds: Sequence[frozenset[str]]
) -> tuple[dict[int, Drop], dict[str, Drop], dict[str, Drop]]:
    """Return what the model says to the whole text, to no word and without each text of two; without each word; and
    without all words of each kind."""
    import numpy as np

    kept: dict[int, Array] = {_WHOLE: question.whole()[0], _BLANK: ~question.whole()[0]}
    if len(question.ends) > 1:
        second = np.array([word.start > question.ends[0] for word in question.words])
        kept |= {_FIRST: second, _SECOND: ~second}
    lower = np.array([word.text.lower() for word in question.words])
    by_word = {word: lower != word for word in sorted(words)}
    by_kind = {kind: np.array([kind not in some for some in kinds]) for kind in sorted(frozenset().union(*kinds))}
    found = iter(_answers(question, [*kept.values(), *by_word.values(), *by_kind.values()]))
    return (
        {what: next(found) for what in kept},
        {word: next(found) for word in by_word},
        {kind: next(found) for kind in by_kind},
    )


def _answers(question: Question, kept: Sequence[Array]) -> list[Drop]:
    import numpy as np

    shares, target = question.every_share(np.stack(list(kept))), question.target
    if question.kind == SINGLE:
        others = shares.argmax(axis=1) != target
    else:
        others = shares[:, target] < HALF if question.kind == MULTI else np.zeros(len(shares), dtype=bool)
    # The first is the whole text: where its answer is another one as it is (of windows only the first is read here),
    # nothing that is left out turns it.
    flipped = others & ~others[0]
    return [Drop(share, flip) for share, flip in zip(shares[:, target].tolist(), flipped.tolist(), strict=True)]
