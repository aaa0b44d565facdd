"""Words that are suspicious because of the data: they give a label away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hftune.explainers._evidence import label_words, names_label
from hftune.explainers._intervals import low
from hftune.explainers._labelled import WordCounts
from hftune.inference.statistics import share

PURE = 0.95  # of the texts that have a planted word are of one label
COVER = 0.25  # of that label's texts have it: the lower end of the interval


@dataclass(frozen=True)
class Planted:
    """A word that stands in `texts` of the `of` texts of the label at a place, and in `others` of other ones."""

    label: int
    texts: int
    of: int
    others: int


@dataclass(frozen=True)
class Suspects:
    """Words to ask about: `planted` ones, and by label place the words of the labels' names."""

    planted: dict[str, Planted]
    names: list[tuple[str, ...]]

    @classmethod
    def of(cls, counts: WordCounts | None, labels: Sequence[str]) -> Suspects:
        """Return what is suspicious in some data; of a regression nothing."""
        return cls(
            {} if counts is None else planted(counts), [() if counts is None else label_words(x) for x in labels]
        )

    def __call__(self, label: int, word: str) -> bool:
        """Tell whether it matters what a case's answer is without a word."""
        return (word in self.planted and self.planted[word].label == label) or names_label(word, self.names[label])


def planted(counts: WordCounts) -> dict[str, Planted]:
    """Return the words that stand in many texts of one label and in nearly no other."""
    found = {}
    for word, by_label in counts.by_word.items():
        place, of = int(by_label.argmax()), counts.in_texts[word]
        hits, rows = int(by_label[place]), int(counts.rows[place])
        common = rows / counts.texts  # where nearly all texts are of one label, so are those of every word
        if hits / of >= PURE and low(share(hits, rows)) >= COVER and low(share(hits, of)) > common:
            found[word] = Planted(place, hits, rows, of - hits)
    return found
