"""Spearman's correlation."""

from __future__ import annotations

from typing import Any

from hftune.metrics._correlation import correlation, ranks
from hftune.metrics._local import NUMBERS, LocalMetric


class Metric(LocalMetric):
    """Correlation of the ranks, equal values sharing theirs; NaN when either side is constant."""

    about = "correlation of the ranks, equal values sharing theirs; NaN when either side is constant"
    rows = NUMBERS

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"spearman": correlation(ranks(predictions), ranks(references))}
