"""The curve of a range test in a terminal: plain text that fits in 80 columns and needs no colour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING, TextIO

from hftune.output import can_hold

if TYPE_CHECKING:
    from hftune.training.lr_curve import Curve

WIDTH, HEIGHT = 78, 11
_LABEL = 8  # columns of the axis on the left
_DOTS_ACROSS, _DOTS_DOWN = 2, 4  # of one braille character
_BRAILLE = (0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80)  # dot bits, row by row
_BLANK = 0x2800

# So far above where it began, in falls: what bursts beyond would press the rest flat.
_HEADROOM = 0.6


def curve_lines(curve: Curve, marks: Mapping[str, float], stream: TextIO) -> list[str]:
    """Return the averaged loss over the rate (logarithmic), with a letter below for each of `marks` (name -> rate).

    What is far above the start is drawn at the upper edge. In braille dots where `stream` can hold them, else in `*`.
    """
    points = [(math.log10(rate), loss) for rate, loss in zip(curve.average_rates, curve.averages, strict=True)]
    points = [(x, y) for x, y in points if math.isfinite(y)]
    start, lowest = curve.averages[curve.start], curve.averages[curve.lowest]
    bottom = min(y for _, y in points)
    top = min(max(y for _, y in points), start + _HEADROOM * max(start - lowest, 0.05 * abs(start)))
    left, right = points[0][0], points[-1][0]
    plot = _Plot(WIDTH - _LABEL - 1, HEIGHT, (left, right), (bottom, max(top, bottom + 1e-9)))
    plot.draw(points)
    dotted = can_hold(stream, chr(_BLANK + 1))
    corner, wall, floor = ("└", "│", "─") if can_hold(stream, "└│─") else ("+", "|", "-")
    lines = ["loss, averaged over a tenth of the test"]
    for number, row in enumerate(plot.rows(dotted)):
        lines.append(f"{_level(plot, number):>{_LABEL}}{wall}{row}".rstrip())
    lines.append(" " * _LABEL + corner + floor * plot.width)
    lines.append(" " * (_LABEL + 1) + plot.ruler({f"1e{power}": float(power) for power in _decades(left, right)}))
    placed = {_letter(name): (name, rate) for name, rate in marks.items()}
    if inside := {
        letter: math.log10(rate) for letter, (_, rate) in placed.items() if left <= math.log10(rate) <= right
    }:
        lines.append(" " * (_LABEL + 1) + plot.ruler(inside))
    told = [f"{letter} {name} {rate:.2g}" for letter, (name, rate) in placed.items()]
    if told:
        lines += (
            fill("   ".join(told).replace(" ", "\0").replace("\0\0\0", "   "), WIDTH).replace("\0", " ").splitlines()
        )
    return lines


class _Plot:
    """A canvas of characters, each of two by four dots."""

    def __init__(self, width: int, height: int, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.width, self.height = width, height
        self._x, self._y = x, y
        self._dots: set[tuple[int, int]] = set()

    def draw(self, points: Sequence[tuple[float, float]]) -> None:
        """Draw the polyline through points, from left to right."""
        places = [(self._across(x), self._down(y)) for x, y in points]
        self._dots.update(places)
        for (x0, y0), (x1, y1) in pairwise(places):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            self._dots.update(
                (round(x0 + (x1 - x0) * k / steps), round(y0 + (y1 - y0) * k / steps)) for k in range(steps + 1)
            )

    def rows(self, dotted: bool) -> list[str]:
        """Return the canvas from top to bottom."""
        return [
            "".join(self._character(column, row, dotted) for column in range(self.width)) for row in range(self.height)
        ]

    def value(self, row: int) -> float:
        """Return the loss in the middle of a row of characters."""
        return self._y[1] - (row + 0.5) / self.height * (self._y[1] - self._y[0])

    def ruler(self, labels: Mapping[str, float]) -> str:
        """Return one line with each label at its x; one that finds no room moves on, or is left out."""
        line = [" "] * self.width
        for label, x in sorted(labels.items(), key=lambda item: item[1]):
            at = self._across(x) // _DOTS_ACROSS
            while at + len(label) <= self.width and any(
                sign != " " for sign in line[max(0, at - (len(label) > 1)) : at + len(label)]
            ):
                at += 1
            if at + len(label) <= self.width:
                line[at : at + len(label)] = label
        return "".join(line).rstrip()

    def _across(self, x: float) -> int:
        share = (x - self._x[0]) / ((self._x[1] - self._x[0]) or 1.0)
        return min(self.width * _DOTS_ACROSS - 1, int(share * self.width * _DOTS_ACROSS))

    def _down(self, y: float) -> int:
        share = (self._y[1] - min(y, self._y[1])) / (self._y[1] - self._y[0])
        return min(self.height * _DOTS_DOWN - 1, int(share * self.height * _DOTS_DOWN))

    def _character(self, column: int, row: int, dotted: bool) -> str:
        bits = sum(
            bit
            for number, bit in enumerate(_BRAILLE)
            if (column * _DOTS_ACROSS + number % 2, row * _DOTS_DOWN + number // 2) in self._dots
        )
        if not bits:
            return " "
        return chr(_BLANK + bits) if dotted else "*"


def _level(plot: _Plot, row: int) -> str:
    return f"{plot.value(row):.4g} " if row % 3 == 1 or plot.height < 4 else ""


def _decades(left: float, right: float) -> range:
    return range(math.ceil(left), math.floor(right) + 1)


def _letter(name: str) -> str:
    return name[0]
