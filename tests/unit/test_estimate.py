"""Time from a few steps: exact on a straight line, honest about its spread."""

from __future__ import annotations

import numpy
import pytest

from hftune.preflight.estimate import extrapolate, kept_checkpoints, spread_picks
from hftune.training.progress import Plan


def test_steps_on_a_straight_line_are_predicted_exactly() -> None:
    work = [100.0, 400.0, 900.0, 250.0]
    every = [100.0, 100.0, 200.0, 500.0, 1000.0] * 20
    total, error = extrapolate(work, [0.02 + 0.001 * each for each in work], every)
    assert total == pytest.approx(sum(0.02 + 0.001 * each for each in every))
    assert error == pytest.approx(0, abs=1e-9)


def test_the_stated_error_holds_the_truth_nearly_always() -> None:
    draw = numpy.random.default_rng(0)
    every = draw.uniform(200, 1000, size=500)
    truth = float((0.05 + 0.0005 * every).sum())
    inside = 0
    for _ in range(300):
        work = draw.choice(every, size=14)
        seconds = (0.05 + 0.0005 * work) * draw.normal(1, 0.1, size=14)
        total, error = extrapolate(work, seconds, every)
        inside += abs(total - truth) <= error
    assert inside / 300 == pytest.approx(0.95, abs=0.05)


def test_noise_that_turns_the_line_round_gives_the_mean_pace() -> None:
    total, error = extrapolate([100, 200, 300], [0.3, 0.2, 0.1], [200.0] * 10)
    assert total == pytest.approx(2.0)
    assert error > 0


def test_a_line_that_would_start_below_zero_goes_through_it() -> None:
    total, _ = extrapolate([100, 200, 300], [0.01, 0.1, 0.25], [1.0])
    assert total > 0


def test_batches_of_one_length_are_predicted_by_their_mean() -> None:
    total, _ = extrapolate([64, 64, 64, 64], [1.0, 1.2, 0.8, 1.0], [64.0] * 7)
    assert total == pytest.approx(7.0)


def test_picks_run_from_the_largest_to_the_smallest() -> None:
    work = [5.0, 1.0, 9.0, 3.0, 7.0, 2.0]
    assert [work[pick] for pick in spread_picks(work, 3)] == [9.0, 5.0, 1.0]
    assert sorted(spread_picks(work, 10)) == list(range(6))


@pytest.mark.parametrize(("save_steps", "limit", "kept"), [(10, 2, 4), (60, 2, 2), (10, 5, 7)])
def test_disk_holds_the_newest_the_best_and_one_being_written(save_steps: int, limit: int, kept: int) -> None:
    plan = Plan(
        examples=800, world_size=1, batch_size=8, steps_per_epoch=100, total_steps=100, peak_learning_rate=1e-3,
        warmup=0, metric="loss", greater_is_better=False, eval_steps=None, save_steps=save_steps, logging_steps=10,
    )  # fmt: skip
    assert kept_checkpoints(plan, limit) == kept
