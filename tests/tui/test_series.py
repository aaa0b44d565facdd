"""A figure over steps in bounded memory."""

import math
import sys

import pytest
from hftune_tui.series import Series
from hypothesis import given, settings
from hypothesis import strategies as st


def filled(values, limit=1000):
    series = Series(limit)
    for step, value in enumerate(values, start=1):
        series.add(step, value, time=float(step), tokens=100.0 * step)
    return series


def test_few_points_stay_as_they_are():
    series = filled([3.0, 2.0, 1.0])
    assert series.points == (
        (1, 3.0, 3.0, 3.0, 1.0, 100.0),
        (2, 2.0, 2.0, 2.0, 2.0, 200.0),
        (3, 1.0, 1.0, 1.0, 3.0, 300.0),
    )
    assert series.last == series.points[-1] and Series().last is None


def test_a_million_points_fit_in_the_limit_and_keep_extremes_and_mean():
    values = [float(step % 1000) for step in range(100_000)]
    values[54_321] = 1e6
    series = filled(values)
    assert 500 <= len(series) <= 1000
    assert max(point.high for point in series.points) == 1e6
    assert min(point.low for point in series.points) == 0.0
    assert series.last.step == 100_000 and series.last.tokens == 1e7
    steps = [point.step for point in series.points]
    assert steps == sorted(set(steps))


def test_a_point_that_is_not_finite_stays_a_gap():
    values = [1.0] * 5000
    values[123] = math.nan
    values[3000:3200] = [None] * 200
    series = filled(values)
    gaps = [point.step for point in series.points if math.isnan(point.value)]
    assert 124 in gaps
    assert [step for step in gaps if step != 124] and all(3000 < step <= 3200 for step in gaps if step != 124)
    assert {point.value for point in series.points if not math.isnan(point.value)} == {1.0}
    assert math.isnan(filled([1.0, math.inf]).last.value)


def test_gaps_everywhere_still_fit():
    series = filled([float(step) if step % 2 else None for step in range(50_000)], limit=100)
    assert len(series) <= 100
    assert any(not math.isnan(point.value) for point in series.points)


def test_a_resume_cuts_what_came_after():
    series = filled([float(step) for step in range(1, 501)])
    version = series.version
    series.cut(300)
    assert series.last.step == 300 and series.version > version
    series.cut(300)
    assert series.version == version + 1
    series.add(301, -1.0, time=0.0)
    assert [point.value for point in series.points[-2:]] == [300.0, -1.0]


def test_a_cut_in_merged_points_leaves_nothing_of_what_was_undone():
    values = [1.0] * 3000 + [9.0] * 3000
    series = filled(values)
    series.cut(3100)
    assert 2990 <= series.last.step <= 3100
    series.cut(2999)
    assert {point.high for point in series.points} == {1.0}
    series.cut(-1)
    assert len(series) == 0 and series.points == ()


def test_a_step_written_again_replaces_what_stood_there():
    series = filled([5.0, 4.0, 3.0])
    series.add(3, 2.5, time=9.0)
    assert [(point.step, point.value) for point in series.points] == [(1, 5.0), (2, 4.0), (3, 2.5)]
    series.add(2, 0.0, time=9.0)
    assert [(point.step, point.value) for point in series.points] == [(1, 5.0), (2, 0.0)]


def test_smoothing_begins_without_bias_and_keeps_gaps():
    series = filled([4.0, 4.0, None, 4.0])
    smoothed = series.smoothed(0.9)
    assert smoothed[:2] == pytest.approx([4.0, 4.0]) and math.isnan(smoothed[2]) and smoothed[3] == pytest.approx(4.0)
    assert filled([1.0, 5.0, 2.0]).smoothed(0.0) == [1.0, 5.0, 2.0]
    assert filled([0.0, 1.0]).smoothed(0.5)[1] == pytest.approx(2 / 3)
    assert all(map(math.isfinite, filled([0.0, 1.0, 2.0]).smoothed(5.0)))


def test_points_are_made_once_a_version():
    series = filled([1.0, 2.0])
    assert series.points is series.points


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=300), st.integers(4, 40))
def test_whatever_comes_fits_and_stays_in_order(values, limit):
    series = filled(values, limit)
    assert len(series) <= limit
    steps = [point.step for point in series.points]
    assert steps == sorted(set(steps))
    finite = [value for value in values if value is not None]
    for point in series.points:
        if not math.isnan(point.value):
            assert point.low <= point.value + 1e-6 and point.value <= point.high + 1e-6
    if finite:
        assert any(not math.isnan(point.value) for point in series.points)
        assert max(p.high for p in series.points if not math.isnan(p.high)) == max(finite)
    assert len(series.smoothed(0.6)) == len(series)


def test_it_needs_no_textual():
    import subprocess

    code = "import sys, hftune_tui.series\nassert 'textual' not in sys.modules and 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
