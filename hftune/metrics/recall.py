"""Recall, macro or micro averaged."""

from __future__ import annotations

from typing import Any

from hftune.metrics._counts import Average, averaged, counts
from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Share of true labels that are found, averaged over classes."""

    about = "share of true labels that are found, averaged over classes"
    multilabel = True

    def _compute(self, predictions: Any, references: Any, average: Average = "macro") -> dict[str, float]:
        hits, _, missed = counts(predictions, references)
        return {"recall": averaged(hits, hits + missed, average)}
