"""Shortcuts: rows answered rightly for a wrong-looking reason, each checked with the model itself.

Evidence is suspicious by its looks (_evidence.py), or because a word gives a label away (_suspects.py). A right row
hangs on it where its strongest word is such a word. The check leaves all words of that kind out of the row (one alone
would be made up for by the others): how often is the answer another one, and how far does the probability fall? Claimed
is what enough rows hang on and whose probability falls, by the lower ends of both intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from hftune.explainers._cases import Case
from hftune.explainers._evidence import KINDS
from hftune.explainers._intervals import low, mean
from hftune.explainers._labelled import LabelledRow
from hftune.explainers._suspects import Planted, Suspects
from hftune.explainers._words import words_of
from hftune.inference.statistics import Interval, share
from hftune.inference.text_sources import spread
from hftune.tasks._labels import REGRESSION

if TYPE_CHECKING:
    from hftune.inference.predictor import Predictor

PLANTED = "giveaway word"
LEAST_ROWS = 3  # right rows that something is claimed of
LEAST_SHARE = 0.05  # of the right rows: the lower end of the interval has to be above
LEAST_FALL = 0.05  # of the probability, of a regression in standard deviations: likewise
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
    otherwise, and the probability falls by `fall` (of a regression the number moves by so many standard deviations);
    without the strongest word alone `word_flips` and `word_fall`.
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
    word_flips: int
    word_fall: Interval
    effect: float
    claimed: bool
    example: dict[str, Any]
    stands: dict[str, int] | None = None
    added: dict[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the shortcut as JSON holds it."""
        intervals = {"share": self.share, "fall": self.fall, "word_fall": self.word_fall}
        return {**asdict(self), **{name: interval.to_dict() for name, interval in intervals.items()}}


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
            evidence = _Evidence(label, right, unit)
            found += filter(None, (evidence.of_kind(kind) for kind in KINDS))
            for word, known in suspects.planted.items():
                if known.label == place and (shown := evidence.of_word(word)) is not None:
                    found.append(_checked(shown, known, add(_as_written(word, right), place)))
    return sorted(found, key=lambda one: (not one.claimed, -one.effect))


class _Evidence:
    """What the right rows of one label hang on. `unit`: what a fall is counted in."""

    def __init__(self, label: str, right: Sequence[Case], unit: float) -> None:
        self._label, self._right, self._unit = label, right, unit
        self._weights = [_weights(case) for case in right]
        self._count = sum(len(case.words) for case in right)

    def of_kind(self, kind: str) -> Shortcut | None:
        """Return what is known of the rows whose strongest word is of a kind; None where there is no such row."""
        words = [
            {word.text.lower() for word, kinds in zip(case.words, case.kinds, strict=True) if kind in kinds}
            for case in self._right
        ]
        hits = [
            (case, str(case.strongest)) for case, some in zip(self._right, words, strict=True) if case.strongest in some
        ]
        among = sum(kind in kinds for case in self._right for kinds in case.kinds) / self._count
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
        single = [case.without[word] for case, word in hits]
        drops = [case.without_kind.get(kind, case.without[word]) for case, word in hits]
        falls = [self._fall(case, drop.share) for (case, _), drop in zip(hits, drops, strict=True)]
        part, fall = share(len(hits), len(self._right)), mean(falls)
        at = max(range(len(hits)), key=lambda place: falls[place])
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
            word_flips=sum(drop.flipped for drop in single),
            word_fall=mean([self._fall(case, drop.share) for (case, _), drop in zip(hits, single, strict=True)]),
            effect=part.value * fall.value,
            claimed=len(hits) >= LEAST_ROWS and low(part) >= LEAST_SHARE and low(fall) >= LEAST_FALL,
            example=_example(*hits[at], drops[at].share),
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


def _example(case: Case, word: str, without: float) -> dict[str, Any]:
    """Return a row to look at, and what the model says without what it hangs on."""
    place = next(one.start for one in case.words if one.text.lower() == word)
    start = max(0, place - EXAMPLE // 2)
    text = " ".join(case.text[start : start + EXAMPLE].split())
    text = ("…" if start else "") + text + ("…" if start + EXAMPLE < len(case.text) else "")
    return {"row": case.row.number, "word": word, "text": text, "share": case.share, "without": without}


def _as_written(word: str, cases: Sequence[Case]) -> str:
    forms = Counter(one.text for case in cases for one in case.words if one.text.lower() == word)
    return forms.most_common(1)[0][0] if forms else word


def _deviation(cases: Sequence[Case]) -> float:
    """Return the standard deviation of what a regression says; 1 where it is always the same."""
    import numpy as np

    return float(np.std([case.share for case in cases])) or 1.0


def _stands(word: str, text: str | None) -> bool:
    return text is not None and word.lower() in {one.text.lower() for one in words_of(text)}


def adding(predictor: Predictor, rows: Sequence[LabelledRow]) -> Callable[[str, int], dict[str, int]]:
    """Return a function that puts a word before texts that the model gave other labels, and counts who turns."""

    def add(word: str, label: int) -> dict[str, int]:
        apart = [row for row in rows if label not in row.given and row.probabilities and not (_stands(word, row.text)
                 or _stands(word, row.pair))]  # fmt: skip
        others = [apart[place] for place in spread(len(apart), ADDED)]
        # Of two texts before the one where it stands in the data.
        second = sum(_stands(word, row.pair) for row in rows) > sum(_stands(word, row.text) for row in rows)
        texts = [row.text if second else f"{word} {row.text}" for row in others]
        pairs = [f"{word} {row.pair}" if second else str(row.pair) for row in others if row.pair is not None]
        found = predictor.classify(texts, pairs=pairs or None) if others else []
        name = predictor.labels[label]
        turned = sum(one.answer == name or (isinstance(one.answer, list) and name in one.answer) for one in found)
        return {"rows": len(found), "flips": turned}

    return add
