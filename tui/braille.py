"""Lines as braille dots: 2 across and 4 down in each character. Pure arithmetic, no terminal.

A layer is one integer for each column of dots; its bit n is the dot n rows above the bottom. So a vertical stroke is
one shift, and 2,000 points cost about as much as the 140 columns that they fall into.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

from .axes import Ruler

ACROSS, DOWN = 2, 4
_LEFT, _RIGHT = (0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08)  # the bottom dot first


def _sign(left: int, right: int) -> str:
    lit = sum(_LEFT[n] for n in range(DOWN) if left >> n & 1) + sum(_RIGHT[n] for n in range(DOWN) if right >> n & 1)
    return chr(0x2800 + lit)


# A character by the dots of its left and of its right column.
SIGNS = tuple(tuple(_sign(left, right) for right in range(16)) for left in range(16))

# How lines are told apart without colour: which columns of dots are drawn, over and over.
PATTERNS = ((1,), (1, 1, 1, 1, 0, 0), (1, 0), (1, 1, 1, 0, 1, 0), (1, 1, 0, 0), (1, 0, 0, 0))

# Which points fall into a column of dots: column, first index, end index.
Cut = tuple[int, int, int]
# Where a line passes a column of dots: column, first and last row in it, lowest and highest. None is a gap.
Place = tuple[int, int, int, int, int]


def cuts(xs: Sequence[float], left: float, right: float, columns: int) -> list[Cut]:
    """Return which points fall into which of the columns from `left` to `right`; `xs` grow."""
    width = right / max(1, columns - 1) - left / max(1, columns - 1)
    result = []
    start, end, last = bisect_left(xs, left - width / 2), 0, columns - 1
    for column in range(columns):
        end = bisect_left(xs, left + (column + 0.5) * width, start) if column < last else len(xs)
        if end > start:
            result.append((column, start, end))
            start = end
    return result


def places(along: Iterable[Cut], values: Sequence[float], ruler: Ruler) -> list[Place | None]:
    """Return where the line through points passes columns; NaN and infinity are gaps."""
    low, factor = ruler
    result: list[Place | None] = []
    for column, start, end in along:
        part = values[start:end]
        if not math.isfinite(sum(part)):
            result += _broken(column, part, ruler)
        elif end - start == 1:
            row = int((part[0] - low) * factor + 0.5)
            result.append((column, row, row, row, row))
        else:
            first, last = int((part[0] - low) * factor + 0.5), int((part[-1] - low) * factor + 0.5)
            lowest, highest = int((min(part) - low) * factor + 0.5), int((max(part) - low) * factor + 0.5)
            result.append((column, first, last, lowest, highest))
    return result


def _broken(column: int, part: Sequence[float], ruler: Ruler) -> list[Place | None]:
    """Return the finite stretches of what falls into one column, with the gaps between."""
    result: list[Place | None] = []
    for finite, group in groupby(part, math.isfinite):
        if finite:
            rows = [int((value - ruler.low) * ruler.factor + 0.5) for value in group]
            result.append((column, rows[0], rows[-1], min(rows), max(rows)))
        else:
            result.append(None)
    return result


def reaches(
    along: Iterable[Cut], lows: Sequence[float], highs: Sequence[float], ruler: Ruler
) -> list[tuple[int, int, int]]:
    """Return how far down and up the values of each column go: column, lowest and highest row."""
    low, factor = ruler
    result = []
    for column, start, end in along:
        lowest, highest = min(lows[start:end]), max(highs[start:end])
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            pairs = zip(lows[start:end], highs[start:end], strict=True)
            known = [pair for pair in pairs if math.isfinite(pair[0]) and math.isfinite(pair[1])]
            if not known:
                continue
            lowest, highest = min(pair[0] for pair in known), max(pair[1] for pair in known)
        result.append((column, int((lowest - low) * factor + 0.5), int((highest - low) * factor + 0.5)))
    return result


def line(passed: Sequence[Place | None], columns: int) -> list[int]:
    """Return a layer with the line through where it passes."""
    layer = [0] * columns
    for place in passed:
        if place is not None:
            layer[place[0]] |= span(place[3], place[4])
    for before, after in pairwise(passed):
        if before is None or after is None:
            continue
        beside = after[0] - before[0] <= 1 and after[3] <= before[4] + 1 and after[4] >= before[3] - 1
        if not beside:
            _join(layer, before[0], before[2], after[0], after[1])
    return layer


def spans(strokes: Iterable[tuple[int, int, int]], columns: int) -> list[int]:
    """Return a layer with one upright stroke for each (column, lowest row, highest row)."""
    layer = [0] * columns
    for column, low, high in strokes:
        layer[column] |= span(low, high)
    return layer


def span(low: int, high: int) -> int:
    """Return the bits from row `low` to row `high`, both drawn."""
    return ((1 << (high - low + 1)) - 1) << low


def _join(layer: list[int], column: int, row: int, to_column: int, to_row: int) -> None:
    """Draw from one dot to another to its right, without a hole and no thicker than a dot."""
    across, start, last = to_column - column, row, row
    for number in range(1, across + 1):
        now = start + round((to_row - start) * number / across)
        middle = (last + now) // 2
        if abs(now - last) <= 1:
            layer[column + number] |= 1 << now
        elif now > last:
            layer[column + number - 1] |= span(last, middle)
            layer[column + number] |= span(middle + 1, now)
        else:
            layer[column + number - 1] |= span(middle + 1, last)
            layer[column + number] |= span(now, middle)
        last = now


def patterned(layer: list[int], pattern: Sequence[int]) -> list[int]:
    """Return a layer of which only the columns of a pattern are left."""
    length = len(pattern)
    return [bits if pattern[column % length] else 0 for column, bits in enumerate(layer)]


def signs(layer: Sequence[int]) -> Iterator[tuple[int, int, str]]:
    """Yield (character column, row above the bottom, sign) for every character that has a dot."""
    for column in range(0, len(layer) - 1, ACROSS):
        left, right = layer[column], layer[column + 1]
        both = left | right
        if not both:
            continue
        for row in range(((both & -both).bit_length() - 1) // DOWN, (both.bit_length() + DOWN - 1) // DOWN):
            first, second = left >> row * DOWN & 15, right >> row * DOWN & 15
            if first or second:
                yield column // ACROSS, row, SIGNS[first][second]
