"""How far to believe an explanation: does leaving out the words that it names change the answer as it says?

Measured with the model itself on the same text, for every method alike, chance among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from hftune.explainers._asked import Asked

    Array = np.ndarray[Any, Any]

ERASER_SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # DeYoung et al. 2020
# Points of a curve: each of the first words, which tell methods apart, then evenly to the end.
FIRST_WORDS, STEPS = 8, 8


@dataclass(frozen=True)
class Faithfulness:
    """Figures of one explanation; probabilities of the class (of a regression its number, of a generator's answer the
    geometric mean of its tokens' probabilities).

    `deletion`: mean probability while words go, the most important first; lower is better (Petsiuk et al. 2018, RISE;
    trapezoids). `insertion`: mean while they come, from a text that says nothing; higher is better.
    `comprehensiveness`: how much is lost without the top words, higher is better; `sufficiency`: how much is lost with
    them alone, lower is better (DeYoung et al. 2020, ERASER: mean over the top 1, 5, 10, 20 and 50%).
    """

    deletion: float
    insertion: float
    comprehensiveness: float
    sufficiency: float

    @property
    def gain(self) -> float:
        """One figure to compare methods by: insertion less deletion."""
        return self.insertion - self.deletion


def measure(question: Asked, values: Array) -> Faithfulness:
    """Return how faithful the words' `values` float [words] are."""
    import numpy as np

    count, ranks = len(values), _ranks(values)
    cuts = curve_points(count)
    going = ranks[None, :] >= cuts[:, None]  # a row: without so many of the most important words
    tops = [max(1, round(share * count)) for share in ERASER_SHARES]
    without = np.stack([ranks >= top for top in tops])
    shares = question.shares(np.concatenate([going, ~going, without, ~without]))
    gone, come, rest = shares[: len(cuts)], shares[len(cuts) : 2 * len(cuts)], shares[2 * len(cuts) :]
    whole = gone[0]
    return Faithfulness(
        deletion=float(np.trapezoid(gone, cuts / count)),
        insertion=float(np.trapezoid(come, cuts / count)),
        comprehensiveness=float((whole - rest[: len(tops)]).mean()),
        sufficiency=float((whole - rest[len(tops) :]).mean()),
    )


def deletion(question: Asked, values: Array) -> float:
    """Return the deletion figure alone, which takes a third of the texts."""
    import numpy as np

    cuts = curve_points(len(values))
    gone = question.shares(_ranks(values)[None, :] >= cuts[:, None])
    return float(np.trapezoid(gone, cuts / len(values)))


def _ranks(values: Array) -> Array:
    """Return each word's rank, 0 for the most important, int [words]."""
    import numpy as np

    ranks = np.empty(len(values), dtype=int)
    ranks[np.argsort(-np.asarray(values), kind="stable")] = np.arange(len(values))
    return ranks


def curve_points(count: int) -> Array:
    """Return after how many of `count` words a curve is read, int [points], 0 and `count` among them."""
    import numpy as np

    later = np.linspace(min(FIRST_WORDS, count), count, STEPS + 1).round().astype(int)
    return np.unique(np.concatenate([np.arange(min(FIRST_WORDS, count)), later]))


def agreement(values: Mapping[str, Array]) -> dict[tuple[str, str], float]:
    """Return Spearman's rank correlation of each two methods' values; NaN where one of them does not vary."""
    names = list(values)
    return {
        (one, other): rank_correlation(values[one], values[other])
        for place, one in enumerate(names)
        for other in names[place + 1 :]
    }


def stability(drawn: Sequence[Array]) -> float:
    """Return the mean rank correlation of the values under different seeds; 1 for one alone."""
    import numpy as np

    pairs = [rank_correlation(one, other) for place, one in enumerate(drawn) for other in drawn[place + 1 :]]
    return float(np.mean(pairs)) if pairs else 1.0


def rank_correlation(one: Array, other: Array) -> float:
    """Return Spearman's rank correlation of two vectors; NaN where one of them does not vary."""
    import numpy as np

    from hftune.inference.statistics import ranks

    first, second = ranks(np.asarray(one)), ranks(np.asarray(other))
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
