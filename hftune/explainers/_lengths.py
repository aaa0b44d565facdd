"""Does the answer follow the length of the text? And how right is the model for short and long texts?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hftune.explainers._cases import Case
from hftune.explainers._intervals import correlation, mean
from hftune.inference.statistics import Interval, share
from hftune.tasks._labels import REGRESSION, SINGLE

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BINS = 4
LEAST_BIN = 5  # rows
STRONG = 0.3  # correlation: Cohen's medium one
LEAST_GAP = 0.1  # of the probability of texts of masks, between the shortest and the longest quarter


@dataclass(frozen=True)
class Length:
    """How answers and length go together. `bins`: words from, to, rows, how many right.

    `label`: the one whose answer follows the length most. `said`: the correlation of the number of words with its being
    given (of a regression with the number); `true`: with its being right. `blank`: the label's probability for the
    shortest and the longest quarter of the texts with each word masked; None where left-out words leave no masks, or
    where the texts are few. `claimed`: `said` is 0.3 or more, its interval (wider where there are several labels to
    pick from) leaves 0 out, and the masked texts bear it out (without masks: it is 0.1 more than `true`).
    """

    bins: list[dict[str, Any]]
    label: str
    said: Interval
    true: Interval
    blank: tuple[float, float] | None
    claimed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {**asdict(self), "said": self.said.to_dict(), "true": self.true.to_dict()}


def lengths(cases: Sequence[Case], labels: Sequence[str], masks: bool) -> Length:
    """Return how answers follow the length; `masks`: a left-out word leaves a mask, so that the length stays."""
    import numpy as np

    by_row = {case.row.number: case for case in cases}
    rows = list(by_row.values())
    words = np.array([len(case.words) for case in rows], dtype=float)
    looks = 1 if len(labels) == 2 else len(labels)  # of two labels the one's answers are the other's
    found = [(place, correlation(words, _said(rows, place), looks)) for place in range(len(labels))]
    known = [one for one in found if np.isfinite(one[1].value)] or found
    place, said = max(known, key=lambda one: (abs(one[1].value) if np.isfinite(one[1].value) else -1, one[0]))
    true = correlation(words, _true(rows, place))
    blank = _blank(cases, place, len(labels)) if masks else None
    unit = float(np.std(_said(rows, place))) or 1.0 if rows[0].kind == REGRESSION else 1.0
    return Length(_bins(rows, words), labels[place], said, true, blank, _claimed(said, true, blank, unit, masks))


def _said(rows: Sequence[Case], place: int) -> list[float]:
    if rows[0].kind == REGRESSION:
        return [float(case.row.said) for case in rows]
    return [float(place in case.row.given) for case in rows]


def _true(rows: Sequence[Case], place: int) -> list[float]:
    if rows[0].kind == REGRESSION:
        return [float(case.row.right) for case in rows]
    return [float(place in case.row.labels) for case in rows]


def _blank(cases: Sequence[Case], place: int, labels: int) -> tuple[float, float] | None:
    """Return the label's mean probability for the shortest and the longest quarter of the texts, all words masked."""
    found = []
    for case in cases:
        if case.label == place:
            found.append((len(case.words), case.blank.share))
        elif labels == 2 and case.kind == SINGLE:
            found.append((len(case.words), 1 - case.blank.share))
    quarter = len(found) // BINS
    if quarter < LEAST_BIN:
        return None
    found.sort()
    return mean([one for _, one in found[:quarter]]).value, mean([one for _, one in found[-quarter:]]).value


def _claimed(said: Interval, true: Interval, blank: tuple[float, float] | None, unit: float, masks: bool) -> bool:
    if said.low is None or said.high is None or said.low <= 0 <= said.high or abs(said.value) < STRONG:
        return False
    if blank is None and masks:
        return False  # too few texts to tell
    if blank is None:
        return not abs(said.value) - abs(true.value) < LEAST_GAP
    gap = (blank[1] - blank[0]) * (1 if said.value > 0 else -1)
    return gap / unit >= LEAST_GAP


def _bins(rows: Sequence[Case], words: Array) -> list[dict[str, Any]]:
    """Return the rows in up to four parts of like size by their words, equal numbers together."""
    import numpy as np

    edges = np.unique(np.quantile(words, [place / BINS for place in range(1, BINS)]))
    places = np.searchsorted(edges, words, side="left")
    found = []
    for place in np.unique(places):
        some = [index for index in range(len(rows)) if places[index] == place]
        right = sum(not rows[index].row.wrong for index in some)
        ends = {"from": int(words[some].min()), "to": int(words[some].max())}
        found.append({**ends, "rows": len(some), "right": right, **share(right, len(some)).to_dict()})
    return found
