"""F1, macro or micro averaged."""

from __future__ import annotations

from typing import Any

from hftune.metrics._counts import Average, averaged, counts
from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """F1, the harmonic mean of precision and recall, averaged over classes."""

    about = "F1, the harmonic mean of precision and recall, averaged over classes"
    multilabel = True

    def _compute(self, predictions: Any, references: Any, average: Average = "macro") -> dict[str, float]:
        hits, wrong, missed = counts(predictions, references)
        return {"f1": averaged(2 * hits, 2 * hits + wrong + missed, average)}
