"""Bits per byte."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features, Value

from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Bits that the model needs for a byte of the text; comparable across tokenizers."""

    about = "bits that the model needs for a byte of the text; comparable across tokenizers"
    rows = Features({"nll_sum": Value("float64"), "text_bytes": Value("int64")})

    def _compute(self, nll_sum: Any, text_bytes: Any) -> dict[str, float]:
        return {"bits_per_byte": float(math.fsum(nll_sum) / math.log(2) / sum(text_bytes))}
