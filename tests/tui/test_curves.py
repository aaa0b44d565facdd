"""Pictures of curves: every row has its width, and what is drawn is what there is."""

import math

import pytest
from hftune_tui.curves import Curve, Mark, Picture, draw

from hftune.sanitize import columns_of

LINE = Curve("train", [0, 100], [0.0, 1.0])


def text(picture, width=40, height=8):
    return ["".join(text for text, _ in row) for row in draw(picture, width, height)]


def with_role(picture, role, width=40, height=8):
    return "".join(text for row in draw(picture, width, height) for text, found in row if found == role)


@pytest.mark.parametrize("height", [1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize("width", [1, 10, 16, 40, 78])
def test_every_row_has_exactly_the_width_asked_for(width, height):
    curve = Curve("训练 loss", list(range(50)), [math.sin(x / 9) for x in range(50)], letter="A")
    for picture in (Picture((curve, LINE), "损失", (Mark(3, "✗", "坏"),), note="平滑 0.6"), Picture()):
        rows = draw(picture, width, height)
        assert len(rows) == height
        assert [columns_of("".join(text for text, _ in row)) for row in rows] == [width] * height


def test_a_straight_line_goes_from_corner_to_corner():
    rows = text(Picture((LINE,)))
    # Legend, five rows of curve, axis, labels.
    assert rows[0].startswith("  ━ train")
    assert rows[1].endswith("⠉") or rows[1].endswith("⠈") or rows[1].endswith("⠁")
    assert rows[5].split("┤")[-1].split("│")[-1][0] in "⡀⣀⡠"
    assert rows[6].lstrip().startswith("└┬") and rows[7].split() == ["0", "50", "100"]


def test_y_labels_are_the_values_of_their_rows():
    labels = [row.split("┤")[0].strip() for row in text(Picture((LINE,)), height=12) if "┤" in row]
    assert [float(label) for label in labels] == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_a_log_axis_leaves_out_what_is_not_above_zero():
    curve = Curve("loss", [0, 1, 2, 3], [0.0, 0.01, 0.1, 1.0])
    labels = [row.split("┤")[0].strip() for row in text(Picture((curve,), log=True), height=12) if "┤" in row]
    assert labels == ["1.00", "0.10", "0.01"] or set(labels) >= {"1.00", "0.10", "0.01"}
    nothing = Curve("loss", [0, 1], [0.0, -1.0])
    assert "nothing above zero" in "".join(text(Picture((nothing,), log=True), width=60))


def test_what_cannot_be_drawn_says_so():
    assert "nothing yet" in "".join(text(Picture((), empty="nothing yet")))
    bad = Curve("loss", [0, 1], [math.nan, math.nan])
    assert "no value is a finite number" in "".join(text(Picture((bad,))))


def test_a_gap_stays_a_gap():
    xs = list(range(0, 100, 10))
    ys = [1.0] * 4 + [math.nan] * 3 + [1.0] * 3
    rows = [row[5:] for row in text(Picture((Curve("loss", xs, ys),)), height=10)[1:]]
    row = next(row for row in rows if any("⠀" < sign <= "⣿" for sign in row))
    parts = row.split()
    assert len(parts) == 2 and row.count(" ") > 10  # one line before the gap, one after


def test_a_mark_on_the_curve_stands_on_it_and_on_the_axis_and_in_the_legend():
    curve = Curve("loss", [0, 50, 60, 100], [1.0, 1.0, math.nan, 1.0])
    picture = Picture((curve,), marks=(Mark(60, "✗", "not finite", "bad", on_curve=True),))
    assert with_role(picture, "bad") == "✗ not finite✗✗"
    outside = Picture((curve,), marks=(Mark(600, "✗", "not finite", "bad", on_curve=True),))
    assert with_role(outside, "bad") == "✗ not finite"


def test_smoothed_values_stand_in_front_and_raw_ones_behind():
    xs = list(range(60))
    raw = [x % 2 for x in xs]
    picture = Picture((Curve("loss", xs, raw, smooth=[0.5] * 60),))
    assert with_role(picture, "raw-0") and len(with_role(picture, "curve-0").split("loss")[-1]) > 20


def test_extremes_of_merged_points_are_drawn():
    xs = list(range(30))
    curve = Curve("loss", xs, [0.5] * 30, lows=[0.0] + [0.5] * 29, highs=[1.0] + [0.5] * 29)
    rows = text(Picture((curve,)), height=10)
    assert rows[1].split("│")[-1].split("┤")[-1].strip() and rows[7].split("│")[-1].split("┤")[-1].strip()


def test_curves_are_told_apart_by_letter_and_pattern():
    xs = list(range(100))
    curves = tuple(Curve(f"run {n}", xs, [n] * 100, letter="ABC"[n], look=n) for n in range(3))
    rows = text(Picture(curves), width=78, height=12)
    assert rows[0].strip() == "━A run 0  ╍B run 1  ┅C run 2"
    for letter in "ABC":
        assert any(letter in row for row in rows[1:10])
    drawn = {"".join(sign for sign in row if "⠀" <= sign <= "⣿") for row in rows[1:10]} - {""}
    assert len(drawn) == 3


def test_names_from_data_cannot_move_the_cursor():
    evil = Curve("a\x1b[2Jb\nc", [0, 1], [0, 1])
    shown = "".join(text(Picture((evil,), title="\x1b]0;x\x07t", note="\x9b1m")))
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 for sign in shown) and "ab c" in shown


def test_the_axis_reaches_further_than_the_curves_where_it_is_told_to():
    curve = Curve("loss", [0, 50], [1.0, 0.5])
    rows = text(Picture((curve,), x_ends=(0.0, 100.0)), width=60)
    assert rows[-1].split()[0] == "0" and rows[-1].split()[-1] == "100"
    assert all(not row[40:].strip() for row in rows[1:-2])
    shorter = text(Picture((curve,), x_ends=(10.0, 20.0)), width=60)
    assert shorter == text(Picture((curve,)), width=60)  # never so that values are left out


@pytest.mark.parametrize("kind", ["step", "time", "tokens"])
def test_one_point_has_an_axis(kind):
    rows = text(Picture((Curve("loss", [5], [0.5]),), x_kind=kind))
    assert any("⠀" < sign <= "⣿" for row in rows for sign in row)
