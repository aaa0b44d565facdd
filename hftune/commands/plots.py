"""Plots of a page: inline SVG without script, every value of data or models shown as text."""

from __future__ import annotations

from collections.abc import Sequence

from hftune.commands.page import Raw, text
from hftune.sanitize import clip, sanitize

WIDTH, NAME, SIDE = 640, 150, 70  # of a plot, of the names at its left, of the numbers at its right
LETTERS = 20  # of a name
ROW = 20
HEIGHT = 180  # of a plot over parts
GAP = 34  # under and over it


def whisker_bars(rows: Sequence[tuple[str, float, float, float]]) -> Raw:
    """Return bars of (name, value, low, high) from 0 to the right for, to the left against, with their intervals."""
    ends = [0.0, *(end for _, _, low, high in rows for end in (low, high))]
    least, most = min(ends), max(ends)
    scale = (WIDTH - NAME - SIDE) / ((most - least) or 1.0)
    zero = NAME - least * scale
    parts = []
    for place, (name, value, low, high) in enumerate(rows):
        middle = place * ROW + ROW / 2
        start, end = sorted((zero, zero + value * scale))
        parts += [
            _text(NAME - 6, middle + 4, clip(sanitize(name), LETTERS), "end"),
            _bar(start, middle - 6, max(1.0, end - start), 12, value),
            _line(zero + low * scale, middle, zero + high * scale, middle),
            *(_line(zero + tip * scale, middle - 3, zero + tip * scale, middle + 3) for tip in (low, high)),
            _text(WIDTH - 4, middle + 4, f"{value:+.2f}", "end"),
        ]
    height = ROW * len(rows)
    return _svg(height, [_line(zero, 0, zero, height, quiet=True), *parts])


def share_columns(parts: Sequence[tuple[str, str, float, float, float]]) -> Raw:
    """Return columns of (name, note, share, low, high) of 0 to 1, with their intervals."""
    shown = []
    for level in (0.0, 0.5, 1.0):
        height = GAP + (1 - level) * HEIGHT
        shown += [_line(40, height, WIDTH, height, quiet=True), _text(34, height + 4, f"{level:.0%}", "end")]
    each = (WIDTH - 40) / max(1, len(parts))
    for place, (name, note, value, low, high) in enumerate(parts):
        middle = 40 + (place + 0.5) * each
        ends = [GAP + (1 - one) * HEIGHT for one in (value, low, high)]
        shown += [
            _bar(middle - each / 4, ends[0], each / 2, value * HEIGHT, 1.0),
            _line(middle, ends[1], middle, ends[2]),
            *(_line(middle - 4, end, middle + 4, end) for end in ends[1:]),
            _text(middle, GAP + HEIGHT + 16, name, "middle"),
            _text(middle, GAP + HEIGHT + 31, note, "middle"),
        ]
    return _svg(GAP * 2 + HEIGHT, shown)


def _svg(height: float, parts: Sequence[str]) -> Raw:
    style = "width:100%;max-width:44rem;font:12px system-ui,sans-serif"
    return Raw(f'<svg viewBox="0 0 {WIDTH} {height:.0f}" style="{style}">{"".join(parts)}</svg>')


def _text(x: float, y: float, value: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{text(value)}</text>'


def _bar(x: float, y: float, width: float, height: float, value: float) -> str:
    side = "for" if value > 0 else "against"
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} style="fill:rgba(var(--{side}),.75)"></rect>'


def _line(x: float, y: float, other_x: float, other_y: float, quiet: bool = False) -> str:
    place = f'x1="{x:.1f}" y1="{y:.1f}" x2="{other_x:.1f}" y2="{other_y:.1f}"'
    return f'<line {place} style="stroke:{"var(--line)" if quiet else "currentColor"}"></line>'
