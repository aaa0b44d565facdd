"""Mean absolute error."""

from __future__ import annotations

from typing import Any

import numpy as np

from hftune.metrics._local import NUMBERS, LocalMetric


class Metric(LocalMetric):
    """Mean of the absolute differences."""

    about = "mean of the absolute differences"
    rows = NUMBERS

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mae": float(np.mean(np.abs(np.asarray(predictions) - np.asarray(references))))}
