"""Shortcuts: rows answered rightly for a wrong-looking reason, each checked with the model itself.

Evidence is suspicious by its looks (_evidence.py), or because a word stands in many texts of one label and nearly none
of others (`planted`). A right row hangs on it where its strongest word is such a word. The check leaves that word out:
how often is the answer another one, and how far does the probability fall? Nothing is claimed without both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hftune.explainers._cases import Case
from hftune.explainers._evidence import KINDS, LABEL, kinds_of, label_words, names_label
from hftune.explainers._intervals import low, mean, share
from hftune.explainers._labelled import LabelledRow, WordCounts
from hftune.inference.statistics import Interval
from hftune.tasks._labels import REGRESSION

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor

PLANTED = "giveaway word"
LEAST_ROWS = 3  # right rows that something is claimed of
LEAST_SHARE = 0.05  # of the right rows: the lower end of the interval has to be above
LEAST_FALL = 0.05  # of the probability, of a regression in standard deviations: likewise
PURE = 0.95  # of the texts that have a planted word are of one label
COVER = 0.25  # of that label's texts have it: the lower end of the interval
LEADS = 0.5  # of the right rows that have it, it is the strongest word of
ADDED = 50  # texts of other answers that a planted word is added to
TURNED = 0.25  # of them answered with its label then
WORDS = 8  # named of a kind
EXAMPLE = 160  # characters


@dataclass(frozen=True)
class Shortcut:
    """One kind of evidence for one label.

    `rows` of `of` right rows hang on it (`share`), most by `words` (each with its rows). `carried`: its mean part of
    all that speaks for the label there, being `among` of the words. Without it `flips` of the rows are answered
    otherwise, and the probability falls by `fall` (of a regression the number moves by so many standard deviations).
    Of a planted word, `stands`: in how many texts of the label, of how many, and in how many others; `added`: to how
    many other texts it was added, and how many then got its label. `effect`: the probability lost over all right rows,
    the mean; `claimed`: the numbers bear it.
    """

    kind: str
    label: str
    words: list[tuple[str, int]]
    rows: int
    of: int
    share: Interval
    carried: float
    among: float
    flips: int
    fall: Interval
    effect: float
    claimed: bool
    example: dict[str, Any]
    stands: dict[str, int] | None = None
    added: dict[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the shortcut as JSON holds it."""
        return {**asdict(self), "share": self.share.to_dict(), "fall": self.fall.to_dict()}


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


def shortcuts(
    cases: Sequence[Case], labels: Sequence[str], suspects: Suspects, add: Callable[[str, int], dict[str, int]]
) -> list[Shortcut]:
    """Return what was looked at, the largest effect first, without what no right row hangs on.

    `add(word, label)` tells what the model says to other texts with the word in them.
    """
    unit = _deviation(cases)
    found: list[Shortcut] = []
    for place, label in enumerate(labels):
        right = [case for case in cases if case.label == place and case.right]
        if right:
            evidence = _Evidence(label, right, suspects.names[place], unit)
            found += filter(None, (evidence.of_kind(kind) for kind in KINDS))
            for word, known in suspects.planted.items():
                if known.label == place and (shown := evidence.of_word(word)) is not None:
                    found.append(_checked(shown, known, add(_as_written(word, right), place)))
    return sorted(found, key=lambda one: (not one.claimed, -one.effect))


class _Evidence:
    """What the right rows of one label hang on. `unit`: what a fall is counted in."""

    def __init__(self, label: str, right: Sequence[Case], names: Sequence[str], unit: float) -> None:
        self._label, self._right, self._unit = label, right, unit
        self._kinds = [kinds_of(case.text, case.words, names) for case in right]
        self._weights = [_weights(case) for case in right]
        self._count = sum(len(case.words) for case in right)

    def of_kind(self, kind: str) -> Shortcut | None:
        """Return what is known of the rows whose strongest word is of a kind; None where there is no such row."""
        words = [
            {word.text.lower() for word, kinds in zip(case.words, some, strict=True) if kind in kinds}
            for case, some in zip(self._right, self._kinds, strict=True)
        ]
        hits = [
            (case, str(case.strongest)) for case, some in zip(self._right, words, strict=True) if case.strongest in some
        ]
        among = sum(kind in kinds for some in self._kinds for kinds in some) / self._count
        return self._shown(kind, hits, words, among) if hits else None

    def of_word(self, word: str) -> Shortcut | None:
        """Return what is known of the rows that have a planted word; claimed where it mostly is the strongest."""
        having = [case for case in self._right if word in case.without]
        if not having:
            return None
        among = sum(one.text.lower() == word for case in self._right for one in case.words) / self._count
        shown = self._shown(PLANTED, [(case, word) for case in having], [{word}] * len(self._right), among)
        leading = sum(case.strongest == word for case in having)
        return replace(shown, claimed=leading >= LEADS * len(having) and shown.rows >= LEAST_ROWS)

    def _shown(self, kind: str, hits: Sequence[tuple[Case, str]], words: Sequence[set[str]], among: float) -> Shortcut:
        drops = [case.without[word] for case, word in hits]
        falls = [self._fall(case, drop.share) for (case, _), drop in zip(hits, drops, strict=True)]
        part, fall = share(len(hits), len(self._right)), mean(falls)
        carried = [
            sum(weights.get(word, 0.0) for word in some) / (sum(weights.values()) or 1.0)
            for weights, some in zip(self._weights, words, strict=True)
        ]
        return Shortcut(
            kind=kind,
            label=self._label,
            words=Counter(word for _, word in hits).most_common(WORDS),
            rows=len(hits),
            of=len(self._right),
            share=part,
            carried=sum(carried) / len(carried),
            among=among,
            flips=sum(drop.flipped for drop in drops),
            fall=fall,
            effect=part.value * fall.value,
            claimed=len(hits) >= LEAST_ROWS and low(part) >= LEAST_SHARE and low(fall) >= LEAST_FALL,
            example=_example(*hits[max(range(len(hits)), key=lambda at: falls[at])]),
        )

    def _fall(self, case: Case, without: float) -> float:
        return abs(case.share - without) / self._unit if case.kind == REGRESSION else case.share - without


def _weights(case: Case) -> dict[str, float]:
    """Return how much each word speaks for a case's label by the first method (of a regression: does)."""
    sums = case.sums(next(iter(case.values)))
    return {word: abs(value) if case.kind == REGRESSION else max(0.0, value) for word, value in sums.items()}


def _checked(shown: Shortcut, known: Planted, added: dict[str, int]) -> Shortcut:
    """Return a planted word with what it does to other texts; it stays a claim where the model bears it out."""
    turned = low(share(added["flips"], added["rows"])) >= TURNED
    stands = {"texts": known.texts, "of": known.of, "others": known.others}
    claimed = shown.claimed and (turned or low(shown.fall) >= LEAST_FALL)
    return replace(shown, stands=stands, added=added, claimed=claimed)


def _example(case: Case, word: str) -> dict[str, Any]:
    """Return a row to look at, and what the model says without the word."""
    drop = case.without[word]
    place = next(one.start for one in case.words if one.text.lower() == word)
    start = max(0, place - EXAMPLE // 2)
    text = " ".join(case.text[start : start + EXAMPLE].split())
    text = ("…" if start else "") + text + ("…" if start + EXAMPLE < len(case.text) else "")
    return {"row": case.row.number, "word": word, "text": text, "share": case.share, "without": drop.share}


def _as_written(word: str, cases: Sequence[Case]) -> str:
    forms = Counter(one.text for case in cases for one in case.words if one.text.lower() == word)
    return forms.most_common(1)[0][0] if forms else word


def _deviation(cases: Sequence[Case]) -> float:
    """Return the standard deviation of what a regression says; 1 where it is always the same."""
    import numpy as np

    return float(np.std([case.share for case in cases])) or 1.0


def adding(predictor: Predictor, rows: Sequence[LabelledRow]) -> Callable[[str, int], dict[str, int]]:
    """Return a function that puts a word before texts that the model gave other labels, and counts who turns."""
    from hftune.explainers._words import words_of

    def add(word: str, label: int) -> dict[str, int]:
        others = [row for row in rows if label not in row.given and row.probabilities]
        others = [row for row in others if word.lower() not in {one.text.lower() for one in words_of(row.text)}][:ADDED]
        pairs = [str(row.pair) for row in others] if others and others[0].pair is not None else None
        found = predictor.classify([f"{word} {row.text}" for row in others], pairs=pairs) if others else []
        name = predictor.labels[label]
        turned = sum(one.answer == name or (isinstance(one.answer, list) and name in one.answer) for one in found)
        return {"rows": len(found), "flips": turned}

    return add


__all__ = ["LABEL", "PLANTED", "Shortcut", "Suspects", "adding", "planted", "shortcuts"]
