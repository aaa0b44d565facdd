"""The common part of our evaluate metrics: a description, the kinds of rows, and no module file on any server."""

from __future__ import annotations

import evaluate
from datasets import Features, Sequence, Value

LABELS = Features({"predictions": Value("int64"), "references": Value("int64")})
LABEL_SETS = Features({"predictions": Sequence(Value("int64")), "references": Sequence(Value("int64"))})
NUMBERS = Features({"predictions": Value("float64"), "references": Value("float64")})


class LocalMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate has no annotations
    """An `evaluate.Metric` described by class attributes; `config_name="multilabel"` takes 0/1 rows where it may."""

    about: str = ""
    rows: Features = LABELS
    multilabel: bool = False

    def _info(self) -> evaluate.MetricInfo:
        rows = LABEL_SETS if self.multilabel and self.config_name == "multilabel" else self.rows
        return evaluate.MetricInfo(description=self.about, citation="", inputs_description=self.about, features=rows)
