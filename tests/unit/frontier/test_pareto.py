"""The front, by its definition, and which model is recommended."""

from __future__ import annotations

import itertools
import random

import pytest

from hftune.frontier.pareto import Choice, Recommended, front, recommend


def test_of_a_line_of_trades_all_are_on_the_front_and_of_a_grid_the_corner_alone() -> None:
    assert front([(x, 9 - x) for x in range(10)]) == [True] * 10
    grid = list(itertools.product(range(4), repeat=3))
    assert [point for point, ahead in zip(grid, front(grid), strict=True) if ahead] == [(0, 0, 0)]
    # The half circle's side that faces the origin.
    circle = [(3, 0), (0, 3), (-3, 0), (0, -3), (-2, -2)]
    assert front(circle) == [False, False, True, True, True]


def test_equal_models_do_not_push_each_other_from_the_front() -> None:
    assert front([(1, 2), (1, 2), (2, 2), (1, 3)]) == [True, True, False, False]
    assert front([]) == []


def test_whatever_is_off_the_front_is_dominated_by_a_model_on_it() -> None:
    draw = random.Random(3)
    for _ in range(50):
        points = [tuple(draw.randrange(5) for _ in range(3)) for _ in range(12)]
        ahead = front(points)
        kept = [point for point, is_ahead in zip(points, ahead, strict=True) if is_ahead]
        for point, is_ahead in zip(points, ahead, strict=True):
            better = [one for one in kept if one != point and all(a <= b for a, b in zip(one, point, strict=True))]
            assert bool(better) is not is_ahead


MODELS = (Choice("large", -0.002, 60), Choice("middle", 0.008, 30), Choice("small", 0.011, 10), Choice("tiny", 0.2, 2))


@pytest.mark.parametrize(
    ("loss", "size", "name", "fits"),
    [
        (0.01, None, "middle", True),  # the smallest that loses no more
        (0.02, None, "small", True),
        (0.02, 30, "small", True),
        (0.01, 20, "small", False),  # of those small enough the best
        (0.0, 59, "middle", False),
        (None, 40, "middle", True),  # with only a size the best
        (None, 1, "tiny", False),  # none is small enough: the smallest
        (0.5, 1, "tiny", False),
        (-0.1, None, "large", False),
    ],
)
def test_the_smallest_within_the_bounds_or_what_comes_nearest(
    loss: float | None, size: int | None, name: str, fits: bool
) -> None:
    assert recommend(MODELS, loss, size) == Recommended(name, fits)


def test_of_equals_the_other_figure_decides_and_of_none_nothing() -> None:
    assert recommend([Choice("a", 0.005, 5), Choice("b", 0.001, 5)], 0.01, None) == Recommended("b", True)
    assert recommend([Choice("a", 0.005, 7), Choice("b", 0.005, 5)], None, 9) == Recommended("b", True)
    assert recommend([], 0.01, None) is None
    assert recommend([Choice("broken", float("inf"), 5)], 0.01, None) == Recommended("broken", False)
