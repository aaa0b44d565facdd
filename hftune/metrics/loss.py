"""Mean loss."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features, Value

from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Summed loss divided by the summed weight."""

    about = "summed loss divided by the summed weight"
    rows = Features({"loss_sum": Value("float64"), "weight": Value("float64")})

    def _compute(self, loss_sum: Any, weight: Any) -> dict[str, float]:
        return {"loss": float(math.fsum(loss_sum) / math.fsum(weight))}
