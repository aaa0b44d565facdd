"""Correlation of numbers and of their ranks."""

from __future__ import annotations

from typing import Any

import numpy as np


def correlation(left: Any, right: Any) -> float:
    """Return Pearson's r of two lists of numbers; NaN when either is constant or there is only one row."""
    left, right = (np.asarray(side, dtype=np.float64) for side in (left, right))
    left, right = left - left.mean(), right - right.mean()
    scale = np.sqrt((left**2).sum() * (right**2).sum())
    return float((left * right).sum() / scale) if scale > 0 else float("nan")


def ranks(values: Any) -> Any:
    """Return each value's rank from 0, equal values sharing the mean of theirs; float64 [n]."""
    _, which, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    return ((ends - sizes) + (ends - 1))[which] / 2
