"""Exact match."""

from __future__ import annotations

from typing import Any

import numpy as np

from hftune.metrics._local import LABEL_SETS, LocalMetric


class Metric(LocalMetric):
    """Share of rows whose labels are all right, with none too many."""

    about = "share of rows whose labels are all right, with none too many"
    rows = LABEL_SETS

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"exact_match": float(np.mean(np.all(np.asarray(predictions) == np.asarray(references), axis=1)))}
