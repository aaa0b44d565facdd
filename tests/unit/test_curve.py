"""The curve in a terminal: 80 columns, readable without colour and without braille, its marks where they belong."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import pytest

from hftune.commands import curve_file
from hftune.commands.curve import HEIGHT, curve_lines
from hftune.commands.curve_file import require_matplotlib, save_png
from hftune.commands.ticker import Ticker
from hftune.errors import UsageError
from hftune.training.lr_curve import Curve, exponential_rates

RATES = exponential_rates(1e-6, 1e-1, 100)


def valley(rate: float) -> float:
    place = math.log10(rate)
    return 2.0 if place < -4 else 2.0 - (place + 4) if place < -3 else 1.0 + 4 * (place + 3)


CURVE = Curve(tuple(RATES), tuple(map(valley, RATES)), (2.0,) * 100, 100)
MARKS = {"steepest": 3e-4, "minimum/10": 1e-4, "valley": 3.2e-4, "diverged": 5e-3}


def stream(encoding: str = "utf-8") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


def drawn(lines: list[str], wall: str = "│") -> list[str]:
    return [line.partition(wall)[2] for line in lines if wall in line]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_it_fits_in_80_columns_in_whatever_the_terminal_can_show(encoding: str) -> None:
    lines = curve_lines(CURVE, MARKS, stream(encoding))
    assert max(map(len, lines)) <= 80
    for line in lines:
        line.encode(encoding)
    wall = "│" if encoding == "utf-8" else "|"
    assert len(drawn(lines, wall)) == HEIGHT


def test_the_line_is_high_at_small_rates_low_in_the_valley_and_at_the_edge_beyond() -> None:
    rows = drawn(curve_lines(CURVE, {}, stream("ascii")), "|")
    heights = {column: row for row, text in enumerate(rows) for column, sign in enumerate(text) if sign == "*"}
    assert set(range(len(rows[0]) - 1)) - set(heights) == set(), "no gap from left to right"
    lowest = max(heights, key=lambda column: heights[column])
    assert heights[0] < HEIGHT / 2 < heights[lowest] == HEIGHT - 1
    share = lowest / max(heights)
    assert 10 ** (-6 + 5 * share) == pytest.approx(1e-3, rel=0.5)
    assert heights[max(heights)] == 0, "what bursts is cut off at the upper edge"


def test_each_mark_stands_below_its_rate_and_is_explained() -> None:
    lines = curve_lines(CURVE, MARKS, stream())
    ruler, letters, told = lines[-3], lines[-2], lines[-1]
    assert told.split("   ") == ["s steepest 0.0003", "m minimum/10 0.0001", "v valley 0.00032", "d diverged 0.005"]
    assert letters.split() == ["m", "sv", "d"]
    assert letters.index("m") == ruler.index("1e-4"), "a tenth of the minimum is a rate of 1e-4 here"
    assert ruler.split() == ["1e-6", "1e-5", "1e-4", "1e-3", "1e-2"]


def test_a_mark_outside_is_told_and_not_drawn() -> None:
    lines = curve_lines(CURVE, {"minimum/10": 1e-9}, stream())
    assert lines[-1] == "m minimum/10 1e-09"
    assert lines[-2].split() == ["1e-6", "1e-5", "1e-4", "1e-3", "1e-2"]


def test_a_test_that_ended_at_once_or_stayed_flat_is_drawn_as_well() -> None:
    ended = Curve(tuple(RATES[:3]), (2.0, 2.0, math.nan), (2.0,) * 3, 100)
    flat = Curve(tuple(RATES), (2.0,) * 100, (2.0,) * 100, 100)
    for one in (ended, flat):
        lines = curve_lines(one, {}, stream())
        assert max(map(len, lines)) <= 80 and len(drawn(lines)) == HEIGHT


# The file


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve_file, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="matplotlib") as caught:
        require_matplotlib()
    assert "hftune[plot]" in caught.value.hint


def test_the_png_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    save_png(tmp_path / "curve.png", "a test", CURVE, MARKS)
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="cannot be written"):
        save_png(tmp_path / "nowhere" / "curve.png", "a test", CURVE, MARKS)


# The line that says how far it is


def test_plain_output_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("hftune.commands.ticker.time.monotonic", lambda: clock[0])
    out = io.StringIO()
    ticker = Ticker(out)
    for second, text in ((0, "one"), (1, "two"), (11, "three")):
        clock[0] = 100.0 + second
        ticker.show(text)
    ticker.clear()
    assert out.getvalue() == "one\nthree\n"


def test_a_terminal_gets_one_line_painted_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    ticker = Ticker(out)
    ticker.show("x" * 200)
    ticker.clear()
    ticker.show("two")
    assert out.getvalue() == "\r\x1b[K" + "x" * 79 + "\r\x1b[K" + "\r\x1b[Ktwo"
    assert sys.stdout is not out
