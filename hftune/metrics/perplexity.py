"""Perplexity."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features, Value

from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """E to the mean loss of a token; how many tokens it hesitates between."""

    about = "e to the mean loss of a token; how many tokens it hesitates between"
    rows = Features({"nll_sum": Value("float64"), "tokens": Value("int64")})

    def _compute(self, nll_sum: Any, tokens: Any) -> dict[str, float]:
        mean = math.fsum(nll_sum) / math.fsum(tokens)
        # exp overflows a double at 710.
        return {"perplexity": math.exp(mean) if mean < 700 else math.inf}
