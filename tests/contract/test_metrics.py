"""Every metric: an evaluate metric that loads from this package, and gives scikit-learn's figures."""

from __future__ import annotations

import math
from typing import Any

import evaluate
import numpy as np
import pytest
import sklearn.metrics as reference
from scipy import stats

from hftune import metrics
from hftune.tasks import registry as tasks

RANDOM = np.random.default_rng(0)
CLASSES = {"predictions": RANDOM.integers(0, 4, 50), "references": RANDOM.integers(0, 5, 50)}
SETS = {"predictions": RANDOM.integers(0, 2, (50, 4)), "references": RANDOM.integers(0, 2, (50, 4))}
NUMBERS = {"predictions": RANDOM.normal(size=50).round(1), "references": RANDOM.normal(size=50).round(1)}
TOKENS = {"nll_sum": [12.5, 30.25], "tokens": [5, 11]}

# metric -> rows, and the figure from an independent source.
EXPECTED: dict[str, tuple[dict[str, Any], float]] = {
    "accuracy": (CLASSES, reference.accuracy_score(CLASSES["references"], CLASSES["predictions"])),
    "f1": (CLASSES, reference.f1_score(CLASSES["references"], CLASSES["predictions"], average="macro")),
    "precision": (
        CLASSES,
        reference.precision_score(CLASSES["references"], CLASSES["predictions"], average="macro", zero_division=0),
    ),
    "recall": (
        CLASSES,
        reference.recall_score(CLASSES["references"], CLASSES["predictions"], average="macro", zero_division=0),
    ),
    "matthews-correlation": (CLASSES, reference.matthews_corrcoef(CLASSES["references"], CLASSES["predictions"])),
    "exact-match": (SETS, reference.accuracy_score(SETS["references"], SETS["predictions"])),
    "mse": (NUMBERS, reference.mean_squared_error(NUMBERS["references"], NUMBERS["predictions"])),
    "mae": (NUMBERS, reference.mean_absolute_error(NUMBERS["references"], NUMBERS["predictions"])),
    "pearson": (NUMBERS, stats.pearsonr(NUMBERS["references"], NUMBERS["predictions"]).statistic),
    "spearman": (NUMBERS, stats.spearmanr(NUMBERS["references"], NUMBERS["predictions"]).statistic),
    "loss": ({"loss_sum": [3.0, 4.5], "weight": [2.0, 3.0]}, 1.5),
    "perplexity": (TOKENS, math.exp(42.75 / 16)),
    "token-accuracy": ({"correct": [2, 3], "tokens": [5, 11]}, 5 / 16),
    "bits-per-byte": ({"nll_sum": [12.5, 30.25], "text_bytes": [20, 44]}, 42.75 / math.log(2) / 64),
}


def test_every_metric_has_a_reference() -> None:
    assert set(metrics.registry.names()) == set(EXPECTED)


@pytest.mark.parametrize("name", metrics.registry.names())
def test_metric_gives_the_reference_figure(name: str) -> None:
    rows, expected = EXPECTED[name]
    assert metrics.compute(name.replace("-", "_"), **rows) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", metrics.registry.names())
def test_metric_is_an_evaluate_metric_fed_in_batches(name: str, tmp_path: Any) -> None:
    rows, expected = EXPECTED[name]
    metric = metrics.registry.load(name).Metric(cache_dir=str(tmp_path))
    assert isinstance(metric, evaluate.Metric)
    assert metric.description
    half = len(next(iter(rows.values()))) // 2
    for part in (slice(0, half), slice(half, None)):
        batch = {key: values[part] for key, values in rows.items()}
        if set(batch) == {"predictions", "references"}:
            metric.add_batch(**batch)
    found = metric.compute() if set(rows) == {"predictions", "references"} else metric.compute(**rows)
    assert found == {name.replace("-", "_"): pytest.approx(expected, rel=1e-9)}


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("name", ["f1", "precision", "recall"])
def test_label_sets_are_averaged_as_in_scikit_learn(name: str, average: str) -> None:
    score = getattr(reference, f"{name}_score")
    expected = score(SETS["references"], SETS["predictions"], average=average, zero_division=0)
    found = metrics.compute(name, config_name="multilabel", options={"average": average}, **SETS)
    assert found == pytest.approx(expected, rel=1e-9)


def test_extremes_give_a_number_or_nan_and_no_error() -> None:
    same = {"predictions": [1, 1, 1], "references": [1, 1, 1]}
    assert metrics.compute("accuracy", **same) == 1.0
    assert metrics.compute("matthews_correlation", **same) == 0.0
    constant = {"predictions": [0.5, 0.5], "references": [1.0, 2.0]}
    assert math.isnan(metrics.compute("pearson", **constant))
    assert math.isnan(metrics.compute("spearman", **constant))
    assert math.isnan(metrics.compute("loss", loss_sum=[0.0], weight=[0.0])), "every row's class has weight 0"
    assert metrics.compute("perplexity", nll_sum=[1e6], tokens=[1]) == math.inf


@pytest.mark.parametrize("name", tasks.names())
def test_every_figure_of_a_task_has_its_metric(name: str) -> None:
    known = {metric.replace("-", "_") for metric in metrics.registry.names()}
    assert {figure.removesuffix("_micro") for figure in tasks.load(name).METRICS} <= known
