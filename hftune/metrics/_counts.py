"""Counts that precision, recall and F1 are made of."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Average = Literal["macro", "micro"]


def counts(predictions: Any, references: Any) -> tuple[Any, Any, Any]:
    """Return true positives, false positives, false negatives by class, int64 [classes].

    Rows are class numbers [n], then only classes that occur in either count (as in scikit-learn), or 0/1 for each
    label [n, labels].
    """
    predicted, actual = np.asarray(predictions), np.asarray(references)
    if predicted.ndim == 1:
        classes = np.union1d(predicted, actual)
        predicted, actual = (values[:, None] == classes[None, :] for values in (predicted, actual))
    predicted, actual = predicted.astype(bool), actual.astype(bool)
    hits = (predicted & actual).sum(axis=0)
    return hits, (predicted & ~actual).sum(axis=0), (~predicted & actual).sum(axis=0)


def averaged(parts: Any, wholes: Any, average: Average) -> float:
    """Return parts / wholes, over classes (macro) or over all rows (micro); 0 where the whole is 0."""
    if average == "micro":
        parts, wholes = parts.sum(keepdims=True), wholes.sum(keepdims=True)
    return float(np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes != 0).mean())
