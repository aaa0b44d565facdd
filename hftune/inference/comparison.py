"""Figures over training seeds, and two models compared over the same test rows. numpy alone.

Two things make a test figure uncertain: which rows happened to be in the test split, and which seed the training was
given. Rows are resampled (statistics.resample), and all models by the same draws; seeds are too few to resample, so
they get Student's t. Rows of the test split are the same for every seed, so more seeds do not make them more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hftune.inference.statistics import LEVEL, Array, Interval, percentiles

NODES = 64  # of Gauss and Legendre's quadrature: exact to rounding for the smooth function below
HALVINGS = 60


@dataclass(frozen=True)
class Scores:
    """One metric of one model: its value at each seed (a single one where nothing is drawn), and over resamples.

    `drawn` [resamples]: the mean over seeds in each draw of the test rows.
    """

    values: tuple[float, ...]
    drawn: Array

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.values))

    def over_seeds(self) -> Interval | None:
        """Return the mean with its 95% t-interval: where the mean of many seeds lies, on these very test rows.

        mean ± t(n - 1) · s / √n; None for one value.
        """
        if len(self.values) < 2:
            return None
        half = student_t(LEVEL, len(self.values) - 1) * math.sqrt(self.seed_variance)
        return Interval(self.mean, self.mean - half, self.mean + half)

    def over_rows(self) -> Interval:
        """Return the mean with its 95% bootstrap interval over test rows, for these very seeds."""
        return percentiles(self.mean, self.drawn)

    @property
    def seed_variance(self) -> float:
        """The variance of the mean that seeds make, s² / n; 0 where one value does not tell it."""
        return float(np.var(self.values, ddof=1) / len(self.values)) if len(self.values) > 1 else 0.0


def difference(first: Scores, second: Scores, rows: int) -> Interval:
    """Return first - second with its 95% interval, over the same `rows` test rows and over seeds.

    The variance is the sum of that of the paired differences over resampled rows and that of each mean over seeds; the
    interval Student's, with the degrees of freedom of Welch and Satterthwaite (1947: v² / Σ vᵢ² / nᵢ). Chance that acts
    on rows and seeds together is in both parts, so the interval is a little too wide rather than too narrow.
    """
    value = first.mean - second.mean
    paired = first.drawn - second.drawn
    finite = paired[np.isfinite(paired)]
    parts = [(float(np.var(finite, ddof=1)) if len(finite) > 1 else math.nan, rows - 1)]
    parts += [(each.seed_variance, len(each.values) - 1) for each in (first, second) if len(each.values) > 1]
    variance = sum(part for part, _ in parts)
    if not math.isfinite(variance):
        return Interval(value, None, None)
    if variance == 0:
        return Interval(value, value, value)
    freedom = variance**2 / sum(part**2 / max(1, degrees) for part, degrees in parts)
    half = student_t(LEVEL, freedom) * math.sqrt(variance)
    return Interval(value, value - half, value + half)


def student_t(level: float, freedom: float) -> float:
    """Return t such that a Student variable of `freedom` degrees (1 or more, also fractional) is in ±t at `level`.

    With t = √ν tan θ: P(|T| < t) = 2 Γ((ν + 1)/2) / (√π Γ(ν/2)) · ∫ cos^(ν-1) from 0 to θ.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    scale = 2 * math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)

    def inside(angle: float) -> float:
        # Beyond ten standard deviations there is nothing, and the nodes would miss the peak at 0.
        end = min(angle, 10 / math.sqrt(freedom))
        points = end * (nodes + 1) / 2
        return float(scale * end / 2 * (weights * np.cos(points) ** (freedom - 1)).sum())

    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) < level else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def mean_draws(drawn: Sequence[Array]) -> Array:
    """Return the mean over seeds in each resample [resamples], of one row of draws a seed."""
    return np.asarray(np.mean(np.stack(list(drawn)), axis=0))
