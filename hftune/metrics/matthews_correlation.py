"""Matthews' correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Correlation of predicted and true classes, -1 to 1; 0 when either side has one class."""

    about = "correlation of predicted and true classes, -1 to 1; 0 when either side has one class"

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        # Gorodkin's K-class form: covariances of the one-hot rows.
        predicted, actual = np.asarray(predictions), np.asarray(references)
        classes = np.union1d(predicted, actual)
        left = (predicted[:, None] == classes).astype(np.float64)
        right = (actual[:, None] == classes).astype(np.float64)
        left, right = left - left.mean(axis=0), right - right.mean(axis=0)
        scale = np.sqrt((left**2).sum() * (right**2).sum())
        return {"matthews_correlation": float((left * right).sum() / scale) if scale > 0 else 0.0}
