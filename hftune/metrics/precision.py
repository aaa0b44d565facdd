"""Precision, macro or micro averaged."""

from __future__ import annotations

from typing import Any

from hftune.metrics._counts import Average, averaged, counts
from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Share of predicted labels that are right, averaged over classes."""

    about = "share of predicted labels that are right, averaged over classes"
    multilabel = True

    def _compute(self, predictions: Any, references: Any, average: Average = "macro") -> dict[str, float]:
        hits, wrong, _ = counts(predictions, references)
        return {"precision": averaged(hits, hits + wrong, average)}
