"""Pearson's correlation."""

from __future__ import annotations

from typing import Any

from hftune.metrics._correlation import correlation
from hftune.metrics._local import NUMBERS, LocalMetric


class Metric(LocalMetric):
    """Linear correlation, -1 to 1; NaN when either side is constant."""

    about = "linear correlation, -1 to 1; NaN when either side is constant"
    rows = NUMBERS

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"pearson": correlation(predictions, references)}
