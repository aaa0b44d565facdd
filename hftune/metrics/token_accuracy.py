"""Token accuracy."""

from __future__ import annotations

from typing import Any

from datasets import Features, Value

from hftune.metrics._local import LocalMetric


class Metric(LocalMetric):
    """Share of target tokens that are the most likely one."""

    about = "share of target tokens that are the most likely one"
    rows = Features({"correct": Value("int64"), "tokens": Value("int64")})

    def _compute(self, correct: Any, tokens: Any) -> dict[str, float]:
        return {"token_accuracy": float(sum(correct) / sum(tokens))}
