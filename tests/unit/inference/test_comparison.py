"""Intervals over seeds and paired differences equal scipy's and closed forms, and cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hftune.inference import statistics
from hftune.inference.comparison import Scores, difference, mean_draws, student_t


def scores(*hits: np.ndarray) -> Scores:
    """Accuracy of one model, one array of 0/1 [rows] a seed."""
    values, draws = [], []
    for right in hits:
        features = np.column_stack([right, np.ones(len(right))])
        whole, drawn = statistics.resample(features, lambda sums: {"accuracy": sums[..., 0] / sums[..., 1]})
        values.append(whole["accuracy"])
        draws.append(drawn["accuracy"])
    return Scores(tuple(values), mean_draws(draws))


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 2.7, 4, 30, 1055, 10_000_000])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_student_t_equals_scipy(level: float, freedom: float) -> None:
    assert student_t(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-6)


def test_the_interval_over_seeds_is_the_t_interval_of_the_mean() -> None:
    values = (0.84, 0.85, 0.83)
    found = Scores(values, np.zeros(3)).over_seeds()
    assert found is not None
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert Scores((0.84,), np.zeros(3)).over_seeds() is None


def test_two_models_without_seeds_get_the_paired_t_interval() -> None:
    random = np.random.default_rng(0)
    first = (random.random(400) < 0.8).astype(float)
    second = np.where(random.random(400) < 0.8, first, 1 - first)
    found = difference(scores(first), scores(second), 400)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.value == pytest.approx(first.mean() - second.mean())
    # Resampling 1,000 times tells a standard deviation to about 2%.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.05 * (found.high - found.low))


def test_pairing_makes_the_interval_narrower_than_the_models_own_are() -> None:
    first = (np.random.default_rng(1).random(500) < 0.8).astype(float)
    second = first.copy()
    second[:5] = 1 - second[:5]
    found = difference(scores(first), scores(second), 500)
    alone = scores(first).over_rows()
    assert found.high - found.low < (alone.high - alone.low) / 3


def test_without_noise_of_rows_the_difference_has_welchs_interval() -> None:
    first, second = (0.84, 0.86, 0.83), (0.80, 0.81, 0.83, 0.79)
    found = difference(Scores(first, np.full(50, 0.5)), Scores(second, np.full(50, 0.4)), 1000)
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_model_is_no_different_from_itself_and_a_figure_that_is_none_gives_no_interval() -> None:
    same = scores(np.array([1.0, 0.0, 1.0, 1.0]))
    assert difference(same, same, 4).to_dict() == {"value": 0.0, "low": 0.0, "high": 0.0}
    unknown = Scores((math.nan,), np.full(4, math.nan))
    assert difference(unknown, unknown, 4).to_dict() == {"value": None, "low": None, "high": None}


def test_the_interval_of_a_difference_covers_what_rows_and_seeds_make() -> None:
    random = np.random.default_rng(2)
    rows, seeds, trials, inside = 200, 3, 150, 0
    for _ in range(trials):
        hard = random.normal(0, 1, rows)  # of each row, for both models

        def train(skill: float, hard: np.ndarray = hard) -> list[np.ndarray]:
            luck = random.normal(0, 0.1, seeds)  # of each seed
            noise = random.normal(0, 0.5, (seeds, rows))
            return [(skill + luck[k] + noise[k] > hard).astype(float) for k in range(seeds)]

        found = difference(scores(*train(1.0)), scores(*train(0.7)), rows)
        # P(skill + luck + noise > hard), all of them normal.
        spread = math.sqrt(1 + 0.1**2 + 0.5**2)
        truth = stats.norm.cdf(1.0 / spread) - stats.norm.cdf(0.7 / spread)
        inside += found.low <= truth <= found.high
    assert inside >= 0.93 * trials
