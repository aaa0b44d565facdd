"""Which words drive each label: the mean of what a word adds in the texts that have it, over many rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hftune.explainers._cases import Case
from hftune.explainers._intervals import mean
from hftune.inference.statistics import Interval
from hftune.tasks._labels import SINGLE


@dataclass(frozen=True)
class Driver:
    """A word: in how many texts it stands and how often; `mean`: what it adds to the label in a text that has it.

    All its places in a text together; the interval is Student's over texts. `share`: its part of all that speaks for
    the label, over all texts.
    """

    word: str
    texts: int
    times: int
    mean: Interval
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Return the word as JSON holds it."""
        return {"word": self.word, "texts": self.texts, "times": self.times, **self.mean.to_dict(), "share": self.share}


@dataclass(frozen=True)
class LabelDrivers:
    """The words of a label, those that speak most for it first; `rows`: texts that were asked for it."""

    label: str
    rows: int
    words: list[Driver]

    def to_dict(self) -> dict[str, Any]:
        """Return the label's words as JSON holds them."""
        return {"label": self.label, "rows": self.rows, "words": [word.to_dict() for word in self.words]}


def least_texts(rows: int) -> int:
    """Return in how many texts a word has to stand: 3, of 100 rows and more 5."""
    return max(3, min(5, rows // 20))


def drivers(cases: Sequence[Case], labels: Sequence[str], method: str, least: int) -> list[LabelDrivers]:
    """Return for each label its words by one method."""
    return [_drivers(cases, place, labels, method, least) for place in range(len(labels))]


def toward(case: Case, label: int, labels: int) -> int:
    """Return +1 for a case of the label, -1 for one of the other of two labels, 0 for one that says nothing of it.

    Log-odds of the one of two labels are those of the other with the sign turned.
    """
    if case.label == label:
        return 1
    return -1 if labels == 2 and case.kind == SINGLE else 0


def _drivers(cases: Sequence[Case], place: int, labels: Sequence[str], method: str, least: int) -> LabelDrivers:
    values: dict[str, list[float]] = {}
    times: Counter[str] = Counter()
    rows, total = 0, 0.0
    for case in cases:
        sign = toward(case, place, len(labels))
        if not sign:
            continue
        rows += 1
        times.update(word.text.lower() for word in case.words)
        for word, value in case.sums(method).items():
            values.setdefault(word, []).append(sign * value)
            total += max(0.0, sign * value)
    found = [
        Driver(word, len(some), times[word], mean(some), sum(max(0.0, one) for one in some) / (total or 1.0))
        for word, some in values.items()
        if len(some) >= least
    ]
    return LabelDrivers(labels[place], rows, sorted(found, key=lambda one: (-one.mean.value, one.word)))
