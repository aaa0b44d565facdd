"""Mean absolute error."""

from __future__ import annotations

from typing import Any

import numpy as np

from hftune.metrics._local import NUMBERS, LocalMetric


class Metric(LocalMetric):
    """Mean of the absolute differences."""

    description = "mean of the absolute differences"
    features = NUMBERS

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mae": float(np.mean(np.abs(np.asarray(predictions) - np.asarray(references))))}
