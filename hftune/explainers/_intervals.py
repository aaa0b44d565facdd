"""Intervals of what a survey counts: means by Student, correlations by Fisher; all 95%."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from hftune.inference.comparison import student_t
from hftune.inference.statistics import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def mean(values: Sequence[float] | Array) -> Interval:
    """Return the mean with its t-interval, mean ± t(n - 1) · s / √n; of one value no ends, of none NaN."""
    import numpy as np

    found = np.asarray(values, dtype=float)
    if len(found) < 2:
        return Interval(float(found[0]) if len(found) else math.nan, None, None)
    middle, half = float(found.mean()), _t(len(found) - 1) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return Interval(middle, middle - half, middle + half)


def correlation(one: Sequence[float] | Array, other: Sequence[float] | Array, looks: int = 1) -> Interval:
    """Return Pearson's correlation with the interval of Fisher's z (1921); NaN where one side does not vary.

    `looks`: of so many correlations the largest will be picked, so that each interval is as much wider (Bonferroni).
    """
    import numpy as np

    first, second = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if len(first) < 3 or first.std() == 0 or second.std() == 0:
        return Interval(math.nan, None, None)
    value = float(np.corrcoef(first, second)[0, 1])
    if len(first) < 4:
        return Interval(value, None, None)
    wide = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / looks)
    z, half = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, value))), wide / math.sqrt(len(first) - 3)
    return Interval(value, math.tanh(z - half), math.tanh(z + half))


def low(interval: Interval) -> float:
    """Return the lower end; minus infinity where there is none, so that nothing is claimed of it."""
    return -math.inf if interval.low is None else interval.low


def sure(interval: Interval) -> bool:
    """Tell whether an interval leaves 0 out."""
    return interval.low is not None and interval.high is not None and (interval.low > 0 or interval.high < 0)


@lru_cache(maxsize=4096)
def _t(freedom: int) -> float:
    return student_t(LEVEL, freedom)
