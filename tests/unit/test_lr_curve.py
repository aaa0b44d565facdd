"""What is read off a range test: averages without lag, where it falls, diverges and is lowest, and the candidates."""

from __future__ import annotations

import math
import random

import numpy
import pytest

from hftune.training.lr_curve import (
    STEEPEST,
    TENTH,
    VALLEY,
    Curve,
    averaged,
    candidates,
    exponential_rates,
    is_over,
    middle_rate,
    rate_name,
    round_rate,
    smoothing,
)

RATES = exponential_rates(1e-6, 1e-1, 100)


def curve(loss, noise: float = 0.0, steps: int = 100, batch: float = 0.0) -> Curve:
    """A test whose loss is a function of the rate, with noise of the step and noise that the batch is to blame for."""
    draw = random.Random(0)
    harder = [draw.gauss(0, batch) for _ in RATES]
    losses = [loss(rate) + draw.gauss(0, noise) + more for rate, more in zip(RATES, harder, strict=True)]
    before = [loss(RATES[0]) + more for more in harder]
    return Curve(tuple(RATES[:steps]), tuple(losses[:steps]), tuple(before[:steps]), 100)


def bowl(rate: float) -> float:
    """1 at small rates, falls from 1e-4 to 0.4 at 1e-3, rises steeply from there on."""
    place = math.log10(rate)
    if place < -4:
        return 1.0
    return 1.0 - 0.6 * (place + 4) if place < -3 else 0.4 + 1.5 * (place + 3)


def test_rates_rise_by_one_factor_from_end_to_end() -> None:
    assert RATES[0] == 1e-6 and RATES[-1] == pytest.approx(1e-1)
    assert numpy.diff(numpy.log(RATES)) == pytest.approx(math.log(1e5) / 99)
    assert exponential_rates(1e-3, 1.0, 1) == [1e-3]


def test_an_average_is_the_weighted_mean_of_what_came_so_far() -> None:
    values, decay = [3.0, 1.0, 4.0, 1.0, 5.0], 0.8
    for count in range(1, len(values) + 1):
        weights = [decay ** (count - 1 - k) for k in range(count)]
        expected = numpy.average(values[:count], weights=weights)
        assert averaged(values, decay)[count - 1] == pytest.approx(expected)


def test_the_average_looks_back_over_a_tenth_of_the_test() -> None:
    assert smoothing(100) == pytest.approx(0.9)
    assert smoothing(1000) == pytest.approx(0.99)
    assert smoothing(5) == 0.5


def test_averages_of_a_straight_line_lie_on_it_at_their_rates() -> None:
    line = curve(lambda rate: 1 - 0.1 * math.log(rate / RATES[0]))
    for rate, average in zip(line.average_rates, line.averages, strict=True):
        assert average == pytest.approx(1 - 0.1 * math.log(rate / RATES[0]))


def test_what_makes_a_batch_harder_is_taken_out() -> None:
    calm, uneven = curve(bowl), curve(bowl, batch=1.0)
    level = numpy.mean(uneven.before) - numpy.mean(calm.before)
    assert uneven.averages == pytest.approx([value + level for value in calm.averages])


def test_the_candidates_of_a_bowl_lie_on_its_falling_side() -> None:
    found = candidates(curve(bowl, noise=0.02))
    assert 1.2e-4 < found[STEEPEST] < 8e-4
    assert 0.3e-4 < found[TENTH] < 1.2e-4, "the steep rise begins before the minimum of the average"
    assert 1.5e-4 < found[VALLEY] < 6e-4
    assert min(found.values()) <= middle_rate(list(found.values())) <= max(found.values())
    at = curve(bowl, noise=0.02).diverged_at
    assert at is not None and 2e-3 < at < 2e-2


def test_a_loss_that_never_falls_has_no_candidates() -> None:
    for shape in (curve(lambda rate: 1.0), curve(lambda rate: 1.0, noise=0.1), curve(lambda rate: 1 + rate * 100)):
        assert not shape.descends
        assert candidates(shape) == {}
    assert curve(lambda rate: 1 + rate * 100).diverged_at is not None


def test_a_fall_that_ends_with_the_test_has_not_diverged() -> None:
    falling = curve(lambda rate: 1 - 0.1 * math.log10(rate / 1e-6), noise=0.01)
    assert falling.diverged is None and falling.diverged_at is None
    assert falling.lowest > 90
    assert falling.descends


def test_a_lower_loss_after_divergence_is_an_accident() -> None:
    def accident(rate: float) -> float:
        return bowl(rate) if rate < 3e-2 else 0.0

    assert curve(accident).average_rates[curve(accident).lowest] < 3e-3


@pytest.mark.parametrize("last", [math.nan, math.inf])
@pytest.mark.parametrize("steps", [2, 5, 70])
def test_a_loss_that_is_no_number_ends_the_test_and_is_a_divergence(last: float, steps: int) -> None:
    whole = curve(bowl)
    cut = Curve(whole.rates[:steps], (*whole.losses[: steps - 1], last), whole.before[:steps], 100)
    assert is_over(cut)
    assert cut.diverged_at is not None
    assert cut.diverged_at == cut.rates[-1] or steps == 70
    assert bool(candidates(cut)) == (steps == 70)


def test_a_test_is_over_once_the_loss_is_far_above_start_and_minimum() -> None:
    assert not is_over(curve(bowl, steps=80))
    assert is_over(curve(lambda rate: 1 + 1000 * rate))
    small = curve(lambda rate: 1.0 if rate < 1e-4 else 0.01 if rate < 1e-3 else 0.5)
    assert not is_over(small), "far above a tiny minimum, not above the start"


@pytest.mark.parametrize(
    ("rate", "rounded", "name"),
    [(1.1e-4, 1e-4, "1e-4"), (1.5e-4, 2e-4, "2e-4"), (3.3e-4, 5e-4, "5e-4"), (7.2e-3, 1e-2, "1e-2"), (0.9, 1.0, "1e0")],
)
def test_rates_are_rounded_to_one_two_or_five(rate: float, rounded: float, name: str) -> None:
    assert round_rate(rate) == rounded
    assert rate_name(rounded) == name


def test_a_rate_is_written_as_recipes_write_it() -> None:
    assert [rate_name(rate) for rate in (2.5e-3, 6.25e-5, 0.3, 12.0)] == ["2.5e-3", "6.25e-5", "3e-1", "1.2e1"]
