"""Mean squared error."""

from __future__ import annotations

from typing import Any

import numpy as np

from hftune.metrics._local import NUMBERS, LocalMetric


class Metric(LocalMetric):
    """Mean of the squared differences."""

    about = "mean of the squared differences"
    rows = NUMBERS

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"mse": float(np.mean((np.asarray(predictions) - np.asarray(references)) ** 2))}
