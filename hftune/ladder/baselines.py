"""The two lowest rungs: always the majority, and a linear model on TF-IDF. Seconds, no neural network.

What they answer has the form that a model's logits have, so that one code judges all: logarithms of probabilities for
classes, log-odds for each of several labels, the number itself for regression.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hftune.errors import UsageError
from hftune.inference.statistics import Array
from hftune.ladder.rows import Rows
from hftune.runs.files import write_atomic
from hftune.tasks._labels import MULTI, REGRESSION

# Inverse strengths of the penalty on large weights that are tried: C of logistic regression, 1 / alpha of ridge.
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
REQUIREMENT = "scikit-learn>=1.5"  # as the extra `ladder` has it
MAX_ITERATIONS = 1000
LEAST = 1e-12  # probability of a class that train does not have: its loss is large, not infinite


@dataclass(frozen=True)
class Fitted:
    """A fitted baseline.

    `logits` [test rows, outputs] float64; `parameters` how many numbers were fitted; `seconds` all of it, choosing
    included; `detail` what was chosen and by what; `tensors` and `files` (name -> text) what has to be kept of it.
    """

    logits: Array
    parameters: int
    seconds: float
    tensors: dict[str, Array]
    detail: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def fit_majority(rows: Rows) -> Fitted:
    """Return the model that answers every text alike: by how often each label stands in train, or with train's mean.

    Its class is the most frequent one (of several the first), each of several labels the more frequent answer. Where
    mistakes count by their size (task.loss: mae) the number is the median, which is best there.
    """
    began = time.perf_counter()
    answer = _most_frequent(rows)
    logits = np.tile(answer, (rows.count("test"), 1))
    return Fitted(logits, len(answer), time.perf_counter() - began, {"answer": answer})


def fit_tfidf(rows: Rows, metric: str, greater: bool) -> Fitted:
    """Return logistic regression (for numbers ridge regression) on TF-IDF of words and pairs of words.

    Where spaces part no words it is of one to three characters.

    The strength of its penalty is the one of STRENGTHS with the best `metric` on validation; test is not looked at, and
    the model is fitted on train alone, as the others are. Raises UsageError without scikit-learn.
    """
    require_scikit_learn()
    from sklearn.feature_extraction.text import TfidfVectorizer

    began = time.perf_counter()
    # Sublinear: the tenth "good" says less than the first (Manning, Raghavan and Schütze 2008, 6.4.1).
    analyzer, ngrams = ("word", (1, 2)) if rows.has_words else ("char", (1, 3))
    vectorizer = TfidfVectorizer(analyzer=analyzer, ngram_range=ngrams, sublinear_tf=True)
    try:
        train = vectorizer.fit_transform(rows.texts["train"])
    except ValueError as error:  # an empty vocabulary
        raise UsageError(f"TF-IDF: {error}", hint="Leave it out: --rungs has the names.") from error
    validation = vectorizer.transform(rows.texts["validation"])
    tried, best = [], None
    for strength in STRENGTHS:
        answer = _fit_linear(rows, train, strength)
        value = rows.figures("validation", answer(validation))[metric]
        tried.append({"strength": strength, metric: value})
        rank = -np.inf if np.isnan(value) else (value if greater else -value)
        if best is None or rank > best[0]:
            best = (rank, strength, answer)
    assert best is not None
    _, strength, answer = best
    logits = answer(vectorizer.transform(rows.texts["test"]))
    detail = {"analyzer": analyzer, "ngrams": list(ngrams), "strength": strength, "validation": tried}
    tensors = {"weight": answer.weight, "bias": answer.bias, "idf": vectorizer.idf_}
    vocabulary = {term: int(column) for term, column in vectorizer.vocabulary_.items()}
    return Fitted(
        logits=logits,
        parameters=answer.weight.size + answer.bias.size,
        seconds=time.perf_counter() - began,
        tensors=tensors,
        detail=detail,
        files={"tfidf.json": json.dumps(vocabulary, ensure_ascii=False)},
    )


def save_fitted(fitted: Fitted, rung: str, folder: Path) -> int:
    """Write a baseline's numbers and files into `folder`; return their size in bytes."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{rung}.safetensors"
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in fitted.tensors.items()}, path)
    for name, text in fitted.files.items():
        write_atomic(folder / name, text)
    return sum(each.stat().st_size for each in (path, *(folder / name for name in fitted.files)))


def require_scikit_learn() -> None:
    """Raise UsageError with the command that installs scikit-learn when it is not there."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "the rung tfidf needs scikit-learn, which is not installed",
            hint=f"{shlex.quote(sys.executable)} -m pip install {shlex.quote(REQUIREMENT)}\n  "
            "Or climb without it: --rungs majority,lstm,head,lora,full",
        ) from error


@dataclass(frozen=True)
class _Linear:
    """`link` (features · weightᵀ + bias); weight [outputs, features], bias [outputs]."""

    weight: Array
    bias: Array
    link: Callable[[Array], Array]

    def __call__(self, features: Any) -> Array:
        return self.link(np.asarray(features @ self.weight.T) + self.bias)


def _fit_linear(rows: Rows, features: Any, strength: float) -> _Linear:
    """Return the linear model of the rows' kind of problem, fitted on train's features [rows, features]."""
    from sklearn.linear_model import Ridge

    wanted, weights = rows.targets["train"], rows.class_weights
    if rows.kind == REGRESSION:
        ridge = Ridge(alpha=1 / strength).fit(features, wanted)
        return _Linear(ridge.coef_[None], np.array([ridge.intercept_]), lambda numbers: numbers)
    if rows.kind == MULTI:
        found = [
            _one_label(features, wanted[:, label], strength, weights[label] if weights else 1.0)
            for label in range(wanted.shape[1])
        ]
        return _Linear(np.stack([each[0] for each in found]), np.array([each[1] for each in found]), lambda odds: odds)
    return _classes(features, wanted, strength, len(rows.names), weights)


def _classes(features: Any, wanted: Array, strength: float, classes: int, weights: list[float] | None) -> _Linear:
    """Return multinomial logistic regression; of two classes it has one row of weights, the log-odds of the second."""
    model = _logistic(strength, dict(enumerate(weights)) if weights else None).fit(features, wanted)
    seen = model.classes_

    def spread(scores: Array) -> Array:
        if scores.shape[1] == 1:
            scores = np.column_stack([np.zeros(len(scores)), scores[:, 0]])
        scores = scores - scores.max(axis=1, keepdims=True)
        scores = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        table = np.full((len(scores), classes), np.log(LEAST))
        table[:, seen] = np.maximum(scores, np.log(LEAST))
        return table

    return _Linear(model.coef_, model.intercept_, spread)


def _one_label(features: Any, wanted: Array, strength: float, weight: float) -> tuple[Array, float]:
    """Return weights [features] and bias of one label among several; of one that never varies its log-odds alone."""
    share = float(wanted.mean())
    if share in (0.0, 1.0):
        return np.zeros(features.shape[1]), float(_log_odds(np.array(share)))
    model = _logistic(strength, {0: 1.0, 1: weight}).fit(features, wanted.astype(int))
    return model.coef_[0], float(model.intercept_[0])


def _logistic(strength: float, weights: dict[int, float] | None) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight=weights, max_iter=MAX_ITERATIONS)


def _most_frequent(rows: Rows) -> Array:
    """Return the answer [outputs] to every text."""
    wanted = rows.targets["train"]
    if rows.kind == REGRESSION:
        mae = rows.recipe.task.options.get("loss") == "mae"
        return np.array([np.median(wanted) if mae else wanted.mean()])
    if rows.kind == MULTI:
        return _log_odds(wanted.mean(axis=0))
    shares = np.bincount(wanted, minlength=len(rows.names)) / len(wanted)
    return np.asarray(np.log(np.maximum(shares, LEAST)))


def _log_odds(shares: Array) -> Array:
    inside = np.clip(shares, LEAST, 1 - LEAST)
    return np.asarray(np.log(inside) - np.log1p(-inside))
