"""How far to believe an explanation: figures known for a model whose words only add up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hftune.explainers._faithfulness import agreement, curve_points, deletion, measure, rank_correlation, stability

WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])


def adding(weights: np.ndarray = WEIGHTS) -> Any:
    """A question whose probability is the sum of the weights of the words that are there."""
    return SimpleNamespace(shares=lambda kept: kept @ weights)


def test_the_right_order_is_the_most_faithful() -> None:
    right, wrong = measure(adding(), WEIGHTS), measure(adding(), -WEIGHTS)
    # Without 0, 1, … of the best: 1, .6, .3, .1, 0; with them: 0, .4, .7, .9, 1.
    assert right.deletion == pytest.approx((0.5 + 0.6 + 0.3 + 0.1) / 4)
    assert right.insertion == pytest.approx((0.4 + 0.7 + 0.9 + 0.5) / 4)
    assert wrong.deletion == pytest.approx((0.5 + 0.9 + 0.7 + 0.4) / 4)
    assert right.gain > 0 > wrong.gain
    # Of four words the top 1, 5, 10 and 20% are one word, the top half two.
    assert right.comprehensiveness == pytest.approx((4 * 0.4 + 0.7) / 5)
    assert right.sufficiency == pytest.approx((4 * 0.6 + 0.3) / 5)
    assert wrong.comprehensiveness == pytest.approx((4 * 0.1 + 0.3) / 5)


def test_deletion_alone_is_the_same_figure() -> None:
    for values in (WEIGHTS, -WEIGHTS, WEIGHTS[::-1]):
        assert deletion(adding(), values) == measure(adding(), values).deletion


def test_only_the_order_counts() -> None:
    assert measure(adding(), WEIGHTS) == measure(adding(), WEIGHTS**3 * 50)


def test_a_long_texts_curve_is_read_at_every_first_word_and_then_in_steps() -> None:
    assert curve_points(5).tolist() == [0, 1, 2, 3, 4, 5]
    assert curve_points(16).tolist() == list(range(17))
    assert curve_points(40).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 28, 32, 36, 40]


def test_a_straight_curve_is_the_same_read_in_steps() -> None:
    even = np.full(100, 0.01)
    found = measure(adding(even), np.arange(100.0))
    assert (found.deletion, found.insertion) == (pytest.approx(0.5), pytest.approx(0.5))


def test_one_word_is_measured() -> None:
    found = measure(adding(np.array([0.9])), np.array([1.0]))
    assert (found.deletion, found.insertion) == (pytest.approx(0.45), pytest.approx(0.45))
    assert (found.comprehensiveness, found.sufficiency) == (pytest.approx(0.9), pytest.approx(0.0))


def test_rank_correlation_is_scipys() -> None:
    from scipy.stats import spearmanr

    draw = np.random.default_rng(0)
    one, other = draw.integers(0, 5, 30).astype(float), draw.normal(size=30)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


def test_methods_are_compared_pair_by_pair() -> None:
    rising = np.arange(4.0)
    found = agreement({"a": rising, "b": rising * 2, "c": -rising})
    assert found == {("a", "b"): pytest.approx(1), ("a", "c"): pytest.approx(-1), ("b", "c"): pytest.approx(-1)}
    assert stability([rising]) == 1
    assert stability([rising, rising, -rising]) == pytest.approx(-1 / 3)
