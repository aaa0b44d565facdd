"""Lines as dots: which dots of which characters are lit."""

import math

import pytest
from hftune_tui import braille
from hftune_tui.axes import Scale

NAN = math.nan


def dots(layer, height):
    """A layer as a picture, top row first."""
    return ["".join("#" if bits >> row & 1 else "." for bits in layer) for row in range(height - 1, -1, -1)]


def drawn(xs, ys, columns, height, low=None, high=None):
    scale = Scale(min(ys) if low is None else low, max(ys) if high is None else high)
    passed = braille.places(braille.cuts(xs, xs[0], xs[-1], columns), ys, scale.ruler(height))
    return dots(braille.line(passed, columns), height)


def test_a_straight_line_is_its_diagonal():
    assert drawn([0, 1, 2, 3], [0, 1, 2, 3], 4, 4) == ["...#", "..#.", ".#..", "#..."]
    assert drawn([0, 3], [0, 3], 4, 4) == ["...#", "..#.", ".#..", "#..."]
    assert drawn([0, 3], [3, 0], 4, 4) == ["#...", ".#..", "..#.", "...#"]


def test_a_level_line_is_one_dot_thick():
    assert drawn([0, 7], [1, 1], 8, 3, low=0, high=2) == ["........", "########", "........"]


@pytest.mark.parametrize("height", [4, 9, 40])
def test_a_steep_line_has_no_hole_and_every_row_once(height):
    picture = drawn([0, 1], [0.0, 1.0], 2, height)
    assert all(row.count("#") == 1 for row in picture)


def test_a_value_that_is_no_number_is_a_gap():
    picture = drawn([0, 1, 2, 3, 4], [1, 1, NAN, 1, 1], 5, 3, low=0, high=2)
    assert picture == [".....", "##.##", "....."]
    assert drawn([0, 1, 2], [1, math.inf, 1], 3, 1, low=0, high=2) == ["#.#"]


def test_a_gap_among_many_values_of_one_column_leaves_the_others():
    ys = [1.0] * 50 + [NAN] + [1.0] * 49
    assert drawn(list(range(100)), ys, 4, 1, low=0, high=2) == ["####"]


def test_a_single_spike_among_ten_thousand_values_is_kept():
    ys = [0.0] * 10_000
    ys[5_000] = 1.0
    picture = drawn(list(range(10_000)), ys, 10, 8)
    assert picture[0].count("#") == 1 and picture[-1].count("#") >= 9


def test_each_point_falls_into_exactly_one_column():
    xs = sorted([0.0, 0.1, 0.1, 3.3, 7.0, 9.99, 10.0])
    cut = braille.cuts(xs, 0.0, 10.0, 7)
    assert [index for _, start, end in cut for index in range(start, end)] == list(range(len(xs)))
    assert [column for column, _, _ in cut] == sorted({column for column, _, _ in cut})


def test_reaches_leave_out_what_is_no_number():
    cut = [(0, 0, 2), (1, 2, 4), (2, 4, 5)]
    found = braille.reaches(cut, [0, 1, NAN, 2, NAN], [1, 3, NAN, 3, NAN], Scale(0, 3).ruler(4))
    assert found == [(0, 0, 3), (1, 2, 3)]


def test_signs_are_those_of_unicode():
    # Dots 1 2 3 7 are the left column from the top, 4 5 6 8 the right one.
    assert list(braille.signs([0b1000, 0])) == [(0, 0, "⠁")]
    assert list(braille.signs([0b0001, 0])) == [(0, 0, "⡀")]
    assert list(braille.signs([0, 0b1000])) == [(0, 0, "⠈")]
    assert list(braille.signs([0b1111, 0b1111])) == [(0, 0, "⣿")]
    assert list(braille.signs([0b10000, 0b1])) == [(0, 0, "⢀"), (0, 1, "⡀")]


def test_patterns_tell_lines_apart_without_colour():
    layer = [1] * 12
    shown = {tuple(braille.patterned(layer, pattern)) for pattern in braille.PATTERNS}
    assert len(shown) == len(braille.PATTERNS)
