"""Axes: where values stand, which get a tick, and how ticks are written."""

import math

import pytest
from hftune_tui.axes import Scale, scale_of, tick_labels, ticks


def test_ends_stand_on_the_first_and_last_place():
    scale = Scale(2.0, 10.0)
    assert [scale.place(value, 9) for value in (2.0, 6.0, 10.0)] == [0, 4, 8]
    log = Scale(1e-4, 1.0, log=True)
    assert [log.place(value, 5) for value in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)] == [0, 1, 2, 3, 4]


def test_a_log_axis_has_no_place_for_zero_and_below():
    flat = Scale(0.1, 1.0, log=True).flat([0.0, -1.0, 1.0])
    assert math.isnan(flat[0]) and math.isnan(flat[1]) and flat[2] == 0.0


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e-300, 1e300])
def test_values_that_are_all_alike_get_room_around_them(value):
    scale = scale_of(value, value)
    assert scale.low < scale.high and scale.low <= value <= scale.high
    assert 0 <= scale.place(value, 40) < 40


def test_equal_values_get_room_on_a_log_axis():
    scale = scale_of(0.5, 0.5, log=True)
    assert (scale.low, scale.high) == (0.25, 1.0)


def test_the_widest_range_that_numbers_have_still_has_an_axis():
    scale = scale_of(-1.7e308, 1.7e308)
    assert scale.place(-1.7e308, 11) == 0 and scale.place(1.7e308, 11) == 10
    assert all(math.isfinite(value) for value in ticks(scale, 5))


def test_ticks_are_round_and_no_more_than_asked_for():
    assert ticks(Scale(0.0, 500.0), 6, "step") == [0, 100, 200, 300, 400, 500]
    assert [round(value, 6) for value in ticks(Scale(0.31, 1.24), 5)] == [0.4, 0.6, 0.8, 1.0, 1.2]
    for at_most in range(1, 12):
        assert len(ticks(Scale(0.013, 7.7), at_most)) <= at_most


def test_steps_and_seconds_have_ticks_of_their_own_kind():
    assert ticks(Scale(0.0, 2.0), 9, "step") == [0, 1, 2]  # never half a step
    assert ticks(Scale(0.0, 3600.0), 5, "time") == [0, 900, 1800, 2700, 3600]
    assert tick_labels([0, 90, 3600], "time") == ["0", "1m30s", "1h00m"]
    assert tick_labels([0, 5000, 2_000_000], "tokens") == ["0", "5,000", "2M"]
    assert tick_labels([1000, 2000], "step") == ["1,000", "2,000"]


def test_log_ticks_are_digits_and_powers():
    assert ticks(Scale(0.1, 10.0, log=True), 8) == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert ticks(Scale(1e-6, 1.0, log=True), 4) == pytest.approx([1e-6, 1e-4, 1e-2, 1])


def test_labels_are_as_short_as_tells_them_apart():
    assert tick_labels([0.25, 0.5, 0.75]) == ["0.25", "0.50", "0.75"]
    assert tick_labels([0.0, 1.0, 2.0]) == ["0", "1", "2"]
    assert tick_labels([0.0, 1e-5, 2e-5]) == ["0", "1e-5", "2e-5"]
    assert tick_labels([1e6, 1.5e6]) == ["1.0e6", "1.5e6"]
    assert tick_labels([]) == []
