"""A plot as rows of signs: curves in braille, axes, marks and a legend. Pure: colours are for the widget to choose.

Each piece of a row has a role (`curve-2`, `raw-2`, `axis`, `mark` …); colours are looked up by role. Curves are told
apart by line pattern and letter as well, because a screen may have no colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from hftune.sanitize import clip, columns_of, sanitize

from . import braille
from .axes import Kind, Scale, scale_of, tick_labels, ticks

COLOURS = 7
LEGEND_SIGNS = ("━", "╍", "┅", "┄", "┉", "┈")  # one for each of braille.PATTERNS
_ROWS_PER_TICK = 2
_LABEL_SPACE = 3
_GUTTER = 9  # the widest label of the y axis
_LETTER_EVERY = 24

Piece = tuple[str, str]  # text, role
Row = list[Piece]


@dataclass(frozen=True)
class Curve:
    """A curve: places along x (growing) and values (NaN: a gap), lowest and highest where a value is a mean of several.

    With `smooth` those values are drawn in front and the raw ones behind. With `sign` each value gets one, and a thin
    line between. `look` chooses colour and pattern; `letter` names the curve where it stands.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    smooth: Sequence[float] = ()
    sign: str = ""
    letter: str = ""
    look: int = 0


@dataclass(frozen=True)
class Mark:
    """A sign on the x axis; `what` explains it in the legend (once for all that are alike).

    With `on_curve` it stands on the first curve as well, where that passes or breaks off.
    """

    x: float
    sign: str
    what: str
    role: str = "mark"
    on_curve: bool = False


@dataclass(frozen=True)
class Picture:
    """What to draw. `note` stands at the right of the legend, `empty` where there is nothing to draw.

    The x axis ends with the curves, or at `x_ends` where those are further out.
    """

    curves: tuple[Curve, ...] = ()
    title: str = ""
    marks: tuple[Mark, ...] = ()
    x_kind: Kind = "step"
    log: bool = False
    note: str = ""
    empty: str = "nothing to draw yet"
    x_ends: tuple[float, float] | None = None


def draw(picture: Picture, width: int, height: int) -> list[Row]:
    """Return exactly `height` rows of exactly `width` columns."""
    if width < 1 or height < 1:
        return []
    legend = [_legend(picture, width)] if height > 2 else []
    rows_left = height - len(legend)
    curves = [curve for curve in picture.curves if len(curve.xs)]
    y_range = _y_range(curves, picture.log)
    if y_range is None or width < 16 or rows_left < 2:
        return legend + _nothing(_why_empty(picture, curves), width, rows_left)
    rows = rows_left - (2 if rows_left >= 5 else 1)
    y_scale = scale_of(*y_range, picture.log)
    x_scale = _x_scale(curves, picture.x_kind, picture.x_ends)
    canvas = _Canvas(width, rows, x_scale, y_scale)
    placed = [_Placed(curve, canvas) for curve in curves]
    for one in placed:
        canvas.draw_behind(one)
    for one in sorted(placed, key=lambda one: not one.curve.sign):  # thin lines between signs first
        canvas.draw_line(one)
    for number, one in enumerate(placed):
        canvas.draw_signs(one, number)
    canvas.draw_marks(picture.marks, placed[0])
    below = canvas.axis(picture.marks, picture.x_kind)
    return legend + canvas.rows() + below[: rows_left - rows]


class _Placed:
    """A curve with the columns of dots that its points fall into."""

    def __init__(self, curve: Curve, canvas: _Canvas) -> None:
        self.curve = curve
        self.look, self.pattern = curve.look % COLOURS, braille.PATTERNS[curve.look % len(braille.PATTERNS)]
        self._scale, self._ruler = canvas.y, canvas.y.ruler(canvas.dots_down)
        self._cuts = braille.cuts(curve.xs, canvas.x.low, canvas.x.high, canvas.dots_across)
        self.line = self.places_of(curve.smooth or curve.ys)

    def places_of(self, values: Sequence[float]) -> list[braille.Place | None]:
        """Return where the line through values passes the columns."""
        return braille.places(self._cuts, self._scale.flat(values), self._ruler)

    def reaches(self) -> list[tuple[int, int, int]]:
        """Return how far down and up the values of each column go: column, lowest and highest row."""
        flat = self._scale.flat
        return braille.reaches(self._cuts, flat(self.curve.lows), flat(self.curve.highs), self._ruler)


class _Canvas:
    """The signs between the axes, with the labels of the y axis at their left."""

    def __init__(self, width: int, height: int, x: Scale, y: Scale) -> None:
        self.height, self.x, self.y = height, x, y
        values = ticks(y, max(2, math.ceil(height / _ROWS_PER_TICK)))
        labels = [clip(label, _GUTTER) for label in tick_labels(values)]
        self.gutter = max((columns_of(label) for label in labels), default=0)
        self.width = width - self.gutter - 1
        self.dots_across, self.dots_down = self.width * braille.ACROSS, height * braille.DOWN
        rows = [y.place(value, self.dots_down) // braille.DOWN for value in values]
        self.labels = dict(zip(rows, labels, strict=True))
        self.signs: list[list[str]] = [[" "] * self.width for _ in range(height)]  # bottom row first
        self.roles: list[list[str]] = [["axis"] * self.width for _ in range(height)]

    def draw_behind(self, placed: _Placed) -> None:
        """Draw what a smoothed curve was before, or how far the values reach of which each point is the mean."""
        curve, role = placed.curve, f"raw-{placed.look}"
        if curve.lows and curve.highs:
            self._paint(braille.spans(placed.reaches(), self.dots_across), role)
        elif curve.smooth and not curve.sign:
            self._paint(braille.line(placed.places_of(curve.ys), self.dots_across), role)

    def draw_line(self, placed: _Placed) -> None:
        """Draw the line itself."""
        role = f"{'raw' if placed.curve.sign else 'curve'}-{placed.look}"
        self._paint(braille.patterned(braille.line(placed.line, self.dots_across), placed.pattern), role)

    def draw_signs(self, placed: _Placed, number: int) -> None:
        """Draw the sign at every value, or the letter here and there along the line."""
        curve = placed.curve
        places = [(place[0] // braille.ACROSS, place[2] // braille.DOWN) for place in placed.line if place]
        if curve.sign:
            for column, row in places:
                self._put(column, row, curve.sign, f"curve-{placed.look}")
        elif curve.letter:
            due = self.width - 1 - 3 * number  # from the newest value back, each curve at columns of its own
            for column, row in reversed(places):
                if column <= due:
                    self._put(column, row, curve.letter, f"letter-{placed.look}")
                    due = column - _LETTER_EVERY

    def draw_marks(self, marks: Iterable[Mark], first: _Placed) -> None:
        """Draw the marks that stand on the first curve: at its point nearest to them, before rather than after."""
        known = [(place[0] // braille.ACROSS, place[2] // braille.DOWN) for place in first.line if place]
        for mark in marks:
            if mark.on_curve and known and self.x.low <= mark.x <= self.x.high:
                column = self._column(mark.x) // braille.ACROSS
                row = next((row for at, row in reversed(known) if at <= column), known[0][1])
                self._put(column, row, mark.sign, mark.role)

    def rows(self) -> list[Row]:
        """Return the rows from top to bottom, labels first."""
        result = []
        for row in range(self.height - 1, -1, -1):
            label = self.labels.get(row)
            left = f"{label or '':>{self.gutter}}{'│' if label is None else '┤'}"
            pieces: Row = [(left, "axis")]
            start = 0
            for role, group in groupby(self.roles[row]):
                end = start + sum(1 for _ in group)
                pieces.append(("".join(self.signs[row][start:end]), role))
                start = end
            result.append(pieces)
        return result

    def axis(self, marks: Iterable[Mark], kind: Kind) -> list[Row]:
        """Return the x axis with its marks, and the labels under it."""
        values = ticks(self.x, max(2, self.width // 12), kind)
        line, roles = ["─"] * self.width, ["axis"] * self.width
        labels = [" "] * (self.gutter + 1 + self.width)
        taken = -1
        for value, label in zip(values, tick_labels(values, kind), strict=True):
            column = self._column(value) // braille.ACROSS
            line[column] = "┬"
            start = min(max(0, self.gutter + 1 + column - len(label) // 2), len(labels) - len(label))
            if start > taken + (_LABEL_SPACE - 2 if taken >= 0 else -1) and start >= 0:
                labels[start : start + len(label)] = label
                taken = start + len(label)
        for mark in marks:
            if self.x.low <= mark.x <= self.x.high:
                column = self._column(mark.x) // braille.ACROSS
                line[column], roles[column] = mark.sign, mark.role
        pieces: Row = [(" " * self.gutter + "└", "axis")]
        pieces += [
            ("".join(sign for sign, _ in group), role)
            for role, group in groupby(zip(line, roles, strict=True), lambda pair: pair[1])
        ]
        return [pieces, [("".join(labels), "axis")]]

    def _column(self, x: float) -> int:
        return self.x.place(x, self.dots_across)

    def _paint(self, layer: list[int], role: str) -> None:
        for column, row, sign in braille.signs(layer):
            self.signs[row][column], self.roles[row][column] = sign, role

    def _put(self, column: int, row: int, sign: str, role: str) -> None:
        self.signs[row][column], self.roles[row][column] = sign, role


def _y_range(curves: Iterable[Curve], log: bool) -> tuple[float, float] | None:
    """Return the least and greatest finite value (above 0 when `log`), None when there is none."""
    lowest, highest = math.inf, -math.inf
    for curve in curves:
        for values in (curve.ys, curve.lows, curve.highs):
            if not values:
                continue
            if log or not math.isfinite(sum(values)):
                values = [value for value in values if math.isfinite(value) and not (log and value <= 0)]
            if values:
                lowest, highest = min(lowest, min(values)), max(highest, max(values))
    return (lowest, highest) if lowest <= highest else None


def _x_scale(curves: Sequence[Curve], kind: Kind, ends: tuple[float, float] | None = None) -> Scale:
    low, high = min(curve.xs[0] for curve in curves), max(curve.xs[-1] for curve in curves)
    if ends is not None:
        low, high = min(low, ends[0]), max(high, ends[1])
    if low == high and kind == "step":
        return Scale(max(0.0, low - 1), low + 1)
    if low == high:
        return Scale(0.0, high) if high > 0 else Scale(0.0, 1.0)
    return Scale(low, high)


def _why_empty(picture: Picture, curves: Sequence[Curve]) -> str:
    if not curves:
        return picture.empty
    if picture.log and _y_range(curves, False) is not None:
        return "nothing above zero: a logarithmic axis cannot show it"
    return "no value is a finite number" if _y_range(curves, False) is None else "no room to draw"


def _nothing(why: str, width: int, height: int) -> list[Row]:
    middle = max(0, (height - 1) // 2)
    return [[(f"{clip(why, width) if row == middle else '':<{width}}", "axis")] for row in range(height)]


def _legend(picture: Picture, width: int) -> Row:
    """Return title, curves with their last values, and marks, as far as they fit, then the note at the right end."""
    note = clip(sanitize(picture.note), width)
    pieces: Row = [(sanitize(picture.title), "title")] if picture.title else []
    for curve in picture.curves:
        sign = curve.sign or LEGEND_SIGNS[curve.look % len(LEGEND_SIGNS)] + curve.letter
        pieces += [("  ", "axis"), (f"{sign} {sanitize(curve.name)}", f"curve-{curve.look % COLOURS}")]
    for what, mark in {mark.what: mark for mark in picture.marks}.items():
        pieces += [("  ", "axis"), (f"{mark.sign} {what}", mark.role)]
    room = width - columns_of(note) - (1 if note else 0)
    row: Row = []
    for text, role in pieces:
        text = clip(text, room) if room > 0 else ""
        if text:
            row.append((text, role))
            room -= columns_of(text)
    return [*row, (" " * (room + (1 if note else 0)), "axis"), (note, "axis")]
