"""A figure over the steps of a run in bounded memory: what is old is merged pairwise as new points arrive."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple

LIMIT = 1000
RECENT = 256


class Point(NamedTuple):
    """One or more neighbouring values: their mean, least and greatest, up to `step`.

    `value`, `low` and `high` are NaN where the figure was not finite. `time` is seconds of training and `tokens` how
    many were read until then, over all attempts.
    """

    step: int
    value: float
    low: float
    high: float
    time: float
    tokens: float


class Series:
    """At most `limit` points. A point that is not finite stays a gap of its own as long as there is room for it."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.version = 0
        self._limit = max(4, limit)
        self._width = 1  # how many values a point holds before the next one begins
        self._steps = array("q")
        self._counts = array("q")
        self._columns = tuple(array("d") for _ in range(5))  # value, low, high, time, tokens
        self._recent: list[tuple[int, float, float, float]] = []  # not yet in the columns: arriving should cost little
        self._last_step: int | None = None
        self._points: tuple[Point, ...] | None = ()

    def __len__(self) -> int:
        self._fold()
        return len(self._steps)

    @property
    def points(self) -> Sequence[Point]:
        """The points, by step."""
        if self._points is None:
            self._fold()
            self._points = tuple(map(Point, self._steps, *self._columns))
        return self._points

    @property
    def last(self) -> Point | None:
        """The newest point, None while there is none."""
        self._fold()
        return Point(self._steps[-1], *(column[-1] for column in self._columns)) if self._steps else None

    def add(self, step: int, value: float | None, time: float, tokens: float = 0.0) -> None:
        """Add a value (None: not finite); what stood at this step or after it is replaced."""
        if self._last_step is not None and step <= self._last_step:
            self.cut(step - 1)
        self._recent.append((step, math.nan if value is None or not math.isfinite(value) else value, time, tokens))
        self._last_step = step
        self.version += 1
        self._points = None
        if len(self._recent) >= RECENT:
            self._fold()

    def cut(self, step: int) -> None:
        """Drop what came after `step`: a resumed run goes on from there."""
        self._fold()
        keep = len(self._steps)
        while keep and self._steps[keep - 1] > step:
            keep -= 1
        if keep < len(self._steps):
            del self._steps[keep:], self._counts[keep:]
            for column in self._columns:
                del column[keep:]
            self._last_step = self._steps[-1] if keep else None
            self.version += 1
            self._points = None

    def smoothed(self, weight: float) -> list[float]:
        """Return an exponential mean of the values, without bias at the beginning; gaps stay NaN.

        `weight` from 0 (as they are) to below 1 is how much of the mean so far is kept at each point.
        """
        weight = min(max(weight, 0.0), 0.999)
        self._fold()
        mean, known, result = 0.0, 0.0, []
        for value in self._columns[0]:
            if value != value:
                result.append(math.nan)
                continue
            mean = weight * mean + (1 - weight) * value
            known = weight * known + (1 - weight)
            result.append(mean / known)
        return result

    def _fold(self) -> None:
        """Put what has arrived lately into the columns."""
        recent, self._recent = self._recent, []
        if recent and self._width == 1 and len(self._steps) + len(recent) <= self._limit:
            steps, values, times, tokens = zip(*recent, strict=True)
            self._steps.extend(steps)
            self._counts.extend([1] * len(steps))
            for column, entries in zip(self._columns, (values, values, values, times, tokens), strict=True):
                column.extend(entries)
            return
        for arrived in recent:
            self._fold_one(*arrived)

    def _fold_one(self, step: int, value: float, time: float, tokens: float) -> None:
        if self._steps and self._counts[-1] < self._width and math.isnan(value) == math.isnan(self._columns[0][-1]):
            self._widen_last(step, value, time, tokens)
            return
        if len(self._steps) >= self._limit:
            self._merge()
        self._steps.append(step)
        self._counts.append(1)
        for column, entry in zip(self._columns, (value, value, value, time, tokens), strict=True):
            column.append(entry)

    def _widen_last(self, step: int, value: float, time: float, tokens: float) -> None:
        values, lows, highs, times, token_counts = self._columns
        self._counts[-1] += 1
        self._steps[-1], times[-1], token_counts[-1] = step, time, tokens
        values[-1] += (value - values[-1]) / self._counts[-1]
        lows[-1], highs[-1] = min(lows[-1], value), max(highs[-1], value)

    def _merge(self) -> None:
        """Halve the number of points; gaps are swallowed only where there is no other way."""
        self._width *= 2
        self._halve(keep_gaps=True)
        while len(self._steps) > self._limit * 3 // 4:
            self._halve(keep_gaps=False)

    def _halve(self, keep_gaps: bool) -> None:
        waiting: _Bin | None = None
        halved: list[_Bin] = []
        for entry in zip(self._counts, self._steps, *self._columns, strict=True):
            if waiting is None:
                waiting = entry
            elif keep_gaps and math.isnan(waiting[2]) != math.isnan(entry[2]):
                halved.append(waiting)
                waiting = entry
            else:
                halved.append(_joined(waiting, entry))
                waiting = None
        if waiting is not None:
            halved.append(waiting)
        counts, steps, *figures = zip(*halved, strict=True)
        self._counts, self._steps = array("q", counts), array("q", steps)
        self._columns = tuple(array("d", entries) for entries in figures)


_Bin = tuple[int, int, float, float, float, float, float]  # how many values, last step, value, low, high, time, tokens


def _joined(first: _Bin, second: _Bin) -> _Bin:
    """Return two neighbours as one; where only one is known it stands for both."""
    count, step, time, tokens = first[0] + second[0], second[1], second[5], second[6]
    if math.isnan(first[2]) or math.isnan(second[2]):
        known = second if math.isnan(first[2]) else first
        return count, step, known[2], known[3], known[4], time, tokens
    mean = first[2] + (second[2] - first[2]) * second[0] / count
    return count, step, mean, min(first[3], second[3]), max(first[4], second[4]), time, tokens
