"""Figures equal scikit-learn's and closed forms; intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from hftune.inference import statistics


def draw(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, rows)
    return true, np.where(random.random(rows) < 0.6, true, random.integers(0, classes, rows))


def test_single_label_figures_equal_scikit_learn() -> None:
    true, predicted = draw(300, 5)
    true, predicted = np.where(true == 4, 0, true), np.where(predicted == 4, 1, predicted)  # class 4 never occurs
    found = statistics.single_label(true, predicted, 5, np.ones(300), np.full(300, 2.0))
    expected = {
        "loss": 0.5,
        "accuracy": sk.accuracy_score(true, predicted),
        "f1": sk.f1_score(true, predicted, average="macro"),
        "precision": sk.precision_score(true, predicted, average="macro"),
        "recall": sk.recall_score(true, predicted, average="macro"),
        "matthews_correlation": sk.matthews_corrcoef(true, predicted),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(expected)
    assert np.array_equal(statistics.confusion(true, predicted, 4), sk.confusion_matrix(true, predicted))


def test_resamples_of_one_class_are_left_out_of_the_interval_of_matthews_correlation() -> None:
    true = np.array([0, 0, 0, 1])  # about a third of all resamples have no 1
    found = statistics.single_label(true, true, 2, *np.ones((2, 4)))["matthews_correlation"]
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    alone = statistics.single_label(np.zeros(4, int), np.zeros(4, int), 2, *np.ones((2, 4)))["matthews_correlation"]
    assert (alone.value, alone.low, alone.high) == (0.0, None, None)


def test_multi_label_figures_equal_scikit_learn() -> None:
    random = np.random.default_rng(1)
    true = (random.random((200, 4)) < 0.3).astype(int)
    predicted = np.where(random.random((200, 4)) < 0.8, true, 1 - true)
    found = {name: one.value for name, one in statistics.multi_label(true, predicted, *np.ones((2, 200))).items()}
    assert found["f1"] == pytest.approx(sk.f1_score(true, predicted, average="macro"))
    assert found["f1_micro"] == pytest.approx(sk.f1_score(true, predicted, average="micro"))
    assert found["exact_match"] == pytest.approx(sk.accuracy_score(true, predicted))
    table = statistics.per_class(true, predicted, list("abcd"))
    expected = sk.precision_recall_fscore_support(true, predicted)
    for position, name in enumerate("abcd"):
        assert list(table[name].values()) == pytest.approx([part[position] for part in expected])


def test_regression_figures_equal_numpy_also_far_from_zero() -> None:
    random = np.random.default_rng(2)
    true = random.normal(1e6, 1, 100).round(1)
    predicted = true + random.normal(0, 0.5, 100)
    found = {name: one.value for name, one in statistics.regression(true, predicted, *np.ones((2, 100))).items()}
    assert found["mse"] == pytest.approx(sk.mean_squared_error(true, predicted))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(true, predicted))
    assert found["pearson"] == pytest.approx(np.corrcoef(true, predicted)[0, 1])
    both = np.corrcoef(statistics.ranks(true), statistics.ranks(predicted))[0, 1]
    assert found["spearman"] == pytest.approx(both)
    assert statistics.ranks(np.array([3.0, 1.0, 3.0])).tolist() == [2.5, 1.0, 2.5]


def test_language_figures_are_quotients_of_sums_over_documents() -> None:
    nll, tokens, correct, size = np.array([[2.0, 6.0], [2, 4], [1, 4], [8, 8]])
    found = {name: one.value for name, one in statistics.language(nll, tokens, correct, size).items()}
    expected = {
        "loss": 8 / 6,
        "perplexity": np.exp(8 / 6),
        "token_accuracy": 5 / 6,
        "bits_per_byte": 8 / 16 / np.log(2),
    }
    assert found == pytest.approx(expected)


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    hits = (np.arange(400) < 320).astype(float)[:, None]
    found = statistics.bootstrap(hits, lambda sums: {"share": sums[..., 0] / 400}, resamples=4000)["share"]
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert found.value == 0.8
    assert (found.low, found.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.005)


def test_intervals_are_the_same_each_time_and_whatever_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    true, predicted = draw(120, 3)
    first = statistics.single_label(true, predicted, 3, *np.ones((2, 120)))
    monkeypatch.setattr(statistics, "HELD", 120 * 7)
    assert statistics.single_label(true, predicted, 3, *np.ones((2, 120))) == first


def test_calibration_error_by_hand() -> None:
    # Two bins of 15 hold answers: 0.95 sure and right half of the time (2), 0.55 sure and always right (2).
    error, bins = statistics.calibration(np.array([0.95, 0.95, 0.55, 0.55]), np.array([1, 0, 1, 1]))
    assert error == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert [one["count"] for one in bins] == [2, 2]
    assert bins[1]["accuracy"] == 0.5 and bins[1]["low"] < 0.95 <= bins[1]["high"]
    assert statistics.calibration(np.array([1.0, 0.0]), np.array([1, 0]))[0] == 0.0
