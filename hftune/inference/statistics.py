"""Figures with their uncertainty, per class, and how far probabilities can be trusted. numpy alone.

Every figure is a function of sums over rows (hits, squared errors, tokens …), so a bootstrap resample is one weighted
sum: all resamples of all figures are a few matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Figures = Callable[[Array], dict[str, Array]]
Sums = tuple[Array, Figures]  # features [rows, features], and what their sums over rows tell

RESAMPLES = 1000
LEVEL = 0.95
BINS = 15
NORMAL = 1.959963984540054  # standard deviations that hold 95% of a normal distribution
HELD = 1 << 22  # resample weights held at once


@dataclass(frozen=True)
class Interval:
    """A figure over all rows, and the ends of its 95% bootstrap interval (None where no resample gives a number)."""

    value: float
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Return value, low, high."""
        return {"value": self.value if np.isfinite(self.value) else None, "low": self.low, "high": self.high}


def bootstrap(features: Array, figures: Figures, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """Return each figure with its percentile interval over `resamples` draws of the rows with replacement.

    `features` float64 [rows, features]; `figures` takes sums over rows [..., features] and returns name -> [...].
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. The same seed gives the same ends.
    """
    whole, drawn = resample(features, figures, resamples, seed)
    return {name: percentiles(value, drawn[name]) for name, value in whole.items()}


def resample(
    features: Array, figures: Figures, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[dict[str, float], dict[str, Array]]:
    """Return each figure over all rows, and over each of `resamples` draws of the rows with replacement [resamples].

    The same seed draws the same rows of as many: so figures of two models over the same rows are paired draw by draw.
    """
    rows = len(features)
    whole = figures(features.sum(axis=0))
    draw = np.random.default_rng(seed)
    drawn: dict[str, list[Array]] = {name: [] for name in whole}
    left = resamples
    while left:
        some = max(1, min(left, HELD // rows))
        picked = draw.integers(0, rows, (some, rows)) + rows * np.arange(some)[:, None]
        counts = np.bincount(picked.ravel(), minlength=some * rows).reshape(some, rows)
        for name, values in figures(counts @ features).items():
            drawn[name].append(values)
        left -= some
    return {name: float(value) for name, value in whole.items()}, {
        name: np.concatenate(values) for name, values in drawn.items()
    }


def percentiles(value: float, drawn: Array) -> Interval:
    """Return a figure with the percentile interval of its draws; those that are no number are left out."""
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return Interval(value, None, None)
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def share(hits: int, of: int) -> Interval:
    """Return hits / of with its Wilson interval (Wilson 1927): it holds also near 0 and 1; of none: 0, no ends."""
    if not of:
        return Interval(0.0, None, None)
    square, part = NORMAL**2, hits / of
    middle = (part + square / (2 * of)) / (1 + square / of)
    half = NORMAL * math.sqrt(part * (1 - part) / of + square / (4 * of * of)) / (1 + square / of)
    return Interval(part, max(0.0, middle - half), min(1.0, middle + half))


def ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, 0 where the whole is 0."""
    part, whole = np.broadcast_arrays(np.asarray(part, float), np.asarray(whole, float))
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole != 0))


def single_label(
    references: Array, predictions: Array, classes: int, loss: Array, weight: Array
) -> dict[str, Interval]:
    """Return loss, accuracy, macro precision, recall, F1, and Matthews correlation of class numbers [rows].

    Macro: the mean over classes that occur among references or predictions. `loss` and `weight` [rows]: their sums'
    quotient is the loss. Matthews: Gorodkin 2004, K classes; 0 when one side has one class only, and resamples where
    that is so are left out of its interval.
    """
    found = bootstrap(*single_label_sums(references, predictions, classes, loss, weight))
    matthews = found["matthews_correlation"]
    return {**found, "matthews_correlation": replace(matthews, value=float(np.nan_to_num(matthews.value)))}


def single_label_sums(references: Array, predictions: Array, classes: int, loss: Array, weight: Array) -> Sums:
    """Return what `resample` takes for the figures of `single_label`."""
    true, predicted = np.eye(classes)[references], np.eye(classes)[predictions]
    features = np.column_stack([loss, weight, true * predicted, predicted, true])

    def figures(sums: Array) -> dict[str, Array]:
        hits, guessed, actual = (sums[..., 2 + k * classes : 2 + (k + 1) * classes] for k in range(3))
        rows, correct = actual.sum(-1), hits.sum(-1)
        covariance = correct * rows - (guessed * actual).sum(-1)
        spread = np.sqrt((rows**2 - (guessed**2).sum(-1)) * (rows**2 - (actual**2).sum(-1)))
        return {
            "loss": ratio(sums[..., 0], sums[..., 1]),
            "accuracy": ratio(correct, rows),
            **_averages(hits, guessed, actual, guessed + actual > 0),
            "matthews_correlation": np.where(spread > 0, ratio(covariance, spread), np.nan),
        }

    return features, figures


def multi_label(references: Array, predictions: Array, loss: Array, weight: Array) -> dict[str, Interval]:
    """Return loss, macro precision, recall, F1, micro F1 and exact match of 0/1 [rows, labels]."""
    return bootstrap(*multi_label_sums(references, predictions, loss, weight))


def multi_label_sums(references: Array, predictions: Array, loss: Array, weight: Array) -> Sums:
    """Return what `resample` takes for the figures of `multi_label`."""
    labels = references.shape[1]
    exact = (references == predictions).all(axis=1)
    features = np.column_stack(
        [loss, weight, exact, np.ones(len(exact)), references * predictions, predictions, references]
    )

    def figures(sums: Array) -> dict[str, Array]:
        hits, guessed, actual = (sums[..., 4 + k * labels : 4 + (k + 1) * labels] for k in range(3))
        return {
            "loss": ratio(sums[..., 0], sums[..., 1]),
            **_averages(hits, guessed, actual, np.ones_like(hits, dtype=bool)),
            "f1_micro": ratio(2 * hits.sum(-1), guessed.sum(-1) + actual.sum(-1)),
            "exact_match": ratio(sums[..., 2], sums[..., 3]),
        }

    return features, figures


def _averages(hits: Array, guessed: Array, actual: Array, counted: Array) -> dict[str, Array]:
    among = counted.sum(-1)
    return {
        "f1": ratio((ratio(2 * hits, guessed + actual) * counted).sum(-1), among),
        "precision": ratio((ratio(hits, guessed) * counted).sum(-1), among),
        "recall": ratio((ratio(hits, actual) * counted).sum(-1), among),
    }


def regression(references: Array, predictions: Array, loss: Array, weight: Array) -> dict[str, Interval]:
    """Return loss, mse, mae, Pearson and Spearman correlation of numbers [rows].

    Spearman's interval uses the ranks among all rows (equal values share theirs) in every resample.
    """
    return bootstrap(*regression_sums(references, predictions, loss, weight))


def regression_sums(references: Array, predictions: Array, loss: Array, weight: Array) -> Sums:
    """Return what `resample` takes for the figures of `regression`."""
    # Centred first: sums of squares of large numbers would lose the spread.
    x, y = references - references.mean(), predictions - predictions.mean()
    r, s = ranks(references) - (len(x) + 1) / 2, ranks(predictions) - (len(x) + 1) / 2
    error = predictions - references
    features = np.column_stack(
        [loss, weight, np.ones(len(x)), error**2, np.abs(error), x, y, x * x, y * y, x * y, r, s, r * r, s * s, r * s]
    )

    def figures(sums: Array) -> dict[str, Array]:
        rows = sums[..., 2]
        return {
            "loss": ratio(sums[..., 0], sums[..., 1]),
            "mse": sums[..., 3] / rows,
            "mae": sums[..., 4] / rows,
            "pearson": _correlation(rows, sums[..., 5:10]),
            "spearman": _correlation(rows, sums[..., 10:15]),
        }

    return features, figures


def _correlation(rows: Array, sums: Array) -> Array:
    """Return the correlation from sums of x, y, xx, yy, xy; NaN where one side does not vary."""
    x, y, xx, yy, xy = (sums[..., k] for k in range(5))
    spread = np.sqrt(np.maximum(xx - x * x / rows, 0) * np.maximum(yy - y * y / rows, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0, (xy - x * y / rows) / spread, np.nan))


def ranks(values: Array) -> Array:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[place])


def language(nll: Array, tokens: Array, correct: Array, text_bytes: Array) -> dict[str, Interval]:
    """Return loss and perplexity a token, token accuracy, and bits a byte, from sums of each document [documents].

    Resampled are documents, not tokens: those of one text are no independent draws. `text_bytes` all 0: no bits.
    """
    return bootstrap(*language_sums(nll, tokens, correct, text_bytes))


def language_sums(nll: Array, tokens: Array, correct: Array, text_bytes: Array) -> Sums:
    """Return what `resample` takes for the figures of `language`."""
    features = np.column_stack([nll, tokens, correct, text_bytes])

    def figures(sums: Array) -> dict[str, Array]:
        loss = ratio(sums[..., 0], sums[..., 1])
        with np.errstate(over="ignore"):
            found = {"loss": loss, "perplexity": np.exp(loss), "token_accuracy": ratio(sums[..., 2], sums[..., 1])}
        if text_bytes.any():
            found["bits_per_byte"] = ratio(sums[..., 0], sums[..., 3]) / np.log(2)
        return found

    return features, figures


def per_class(references: Array, predictions: Array, names: list[str]) -> dict[str, dict[str, float | int]]:
    """Return name -> precision, recall, f1, support of 0/1 [rows, labels] (one-hot when single-label)."""
    hits, guessed, actual = (matrix.sum(axis=0) for matrix in (references * predictions, predictions, references))
    table = (ratio(hits, guessed), ratio(hits, actual), ratio(2 * hits, guessed + actual), actual)
    return {
        name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
        for name, p, r, f, n in zip(names, *table, strict=True)
    }


def confusion(references: Array, predictions: Array, classes: int) -> Array:
    """Return counts [true class, predicted class]."""
    return np.bincount(references * classes + predictions, minlength=classes * classes).reshape(classes, classes)


def calibration(confidence: Array, correct: Array, bins: int = BINS) -> tuple[float, list[dict[str, float | int]]]:
    """Return the expected calibration error and the bins that hold answers; inputs [answers].

    Bins of equal width, each (low, high]; the error is the mean of |accuracy - confidence| over bins, weighted by their
    answers. Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (there 15 bins too).
    """
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    hits, sure = (np.bincount(place, weights=values, minlength=bins) for values in (correct, confidence))
    error = float(np.abs(hits - sure).sum() / len(confidence))
    return error, [
        {
            "low": k / bins,
            "high": (k + 1) / bins,
            "count": int(counts[k]),
            "confidence": float(sure[k] / counts[k]),
            "accuracy": float(hits[k] / counts[k]),
        }
        for k in range(bins)
        if counts[k]
    ]


def plain(metrics: Mapping[str, Interval]) -> dict[str, dict[str, float | None]]:
    """Return the intervals as JSON holds them."""
    return {name: interval.to_dict() for name, interval in metrics.items()}
