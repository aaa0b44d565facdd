"""Mean loss."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features, Value

from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Summed loss divided by the summed weight; NaN when no row weighs anything."""

    about = "summed loss divided by the summed weight; NaN when no row weighs anything"
    rows = Features({"loss_sum": Value("float64"), "weight": Value("float64")})

    def _compute(self, loss_sum: Any, weight: Any) -> dict[str, float]:
        total = math.fsum(weight)
        return {"loss": math.fsum(loss_sum) / total if total else math.nan}
