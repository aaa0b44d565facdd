"""Accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Share of rows whose predicted class is the right one."""

    about = "share of rows whose predicted class is the right one"

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return {"accuracy": float(np.mean(np.asarray(predictions) == np.asarray(references)))}
