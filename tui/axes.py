"""The axes of a plot: where a value stands, which round values get a tick, and how a tick is written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hftune.figures import count, duration

Kind = Literal["number", "step", "time", "tokens"]

# A range narrower than this share of its values holds nothing but rounding errors.
_NARROWEST = 1e-9
_TINIEST = 1e-290
# Beyond these an exponent is shorter than the digits.
_SMALL, _LARGE = 1e-3, 1e5
_SECONDS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class Ruler(NamedTuple):
    """The place of a value is int((value - low) * factor + 0.5)."""

    low: float
    factor: float


@dataclass(frozen=True)
class Scale:
    """A range of values, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def ruler(self, count: int) -> Ruler:
        """Return how values, once `flat`, become one of `count` places, the first 0."""
        low, high = self.flat((self.low, self.high))
        return Ruler(low, (count - 1) / (high - low))

    def flat(self, values: Sequence[float]) -> Sequence[float]:
        """Return values as they stand along the axis; NaN where the axis has no place for one."""
        if self.log:
            return [math.log10(value) if value > 0 else math.nan for value in values]
        if math.isinf(self.high - self.low):  # the difference of two huge numbers is no number, that of their halves is
            return [value / 2 for value in values]
        return values

    def place(self, value: float, count: int) -> int:
        """Return on which of `count` places a value between the ends stands."""
        low, factor = self.ruler(count)
        return int((self.flat((value,))[0] - low) * factor + 0.5)


def scale_of(low: float, high: float, log: bool = False) -> Scale:
    """Return a scale from `low` to `high` (finite; above 0 for `log`), widened when they are as good as equal."""
    if log:
        return Scale(low, high, True) if high / low > 1 + _NARROWEST else Scale(low / 2, high * 2, True)
    size = max(abs(low), abs(high))
    if high / 2 - low / 2 <= size * _NARROWEST / 2 or high - low < _TINIEST:
        room = max(size / 2, _TINIEST) if size else 1.0
        return Scale(low - room, high + room)
    return Scale(low, high)


def ticks(scale: Scale, at_most: int, kind: Kind = "number") -> list[float]:
    """Return round values on a scale, `at_most` of them and two where that can be."""
    at_most = max(1, at_most)
    if scale.log:
        found = _log_ticks(scale, at_most)
        if len(found) > 1:
            return found
    for step in _steps(scale, at_most, kind):
        first = math.ceil(scale.low / step - 1e-9)
        last = math.floor(scale.high / step + 1e-9)
        if last - first < at_most:
            return [number * step for number in range(first, last + 1)]
    return []


def _steps(scale: Scale, at_most: int, kind: Kind) -> list[float]:
    """Return round distances between ticks, small to large, beginning where about `at_most` fit."""
    rough = scale.high / at_most - scale.low / at_most
    if kind == "time" and rough <= _SECONDS[-1]:
        return [seconds for seconds in _SECONDS if seconds >= rough / 2] + [2 * _SECONDS[-1], 7 * _SECONDS[-1]]
    power = math.floor(math.log10(rough)) - 1
    steps = [digit * 10.0**exponent for exponent in range(power, min(power + 4, 308)) for digit in (1, 2, 2.5, 5)]
    return [step for step in steps if step and (kind == "number" or step == int(step))] or [1.0]


def _log_ticks(scale: Scale, at_most: int) -> list[float]:
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        found = [digit * 10.0**power for power in powers if -307 < power < 308 for digit in digits]
        found = [value for value in found if scale.low * (1 - 1e-9) <= value <= scale.high * (1 + 1e-9)]
        if len(found) <= at_most:
            return found
    return found[:: math.ceil(len(found) / at_most)]


def tick_labels(values: Sequence[float], kind: Kind = "number") -> list[str]:
    """Return how ticks are written: as short as tells them apart."""
    if kind == "time":
        return ["0" if not value else duration(value) for value in values]
    if kind == "tokens":
        return [count(value) if value >= 10_000 else f"{value:,.0f}" for value in values]
    if kind == "step":
        return [f"{value:,.0f}" for value in values]
    size = max((abs(value) for value in values), default=0.0)
    exponents = size >= _LARGE or 0 < size < _SMALL
    written = [f"{value:.0f}" for value in values]
    for digits in range(16):
        written = [_exponent(value, digits) if exponents else f"{value:.{digits}f}" for value in values]
        told_apart = len(set(written)) == len(values)
        if told_apart and all(_near(float(label), value, size) for label, value in zip(written, values, strict=True)):
            break
    return written


def _near(written: float, value: float, size: float) -> bool:
    return abs(written - value) <= abs(value) * 1e-6 + size * 1e-12


def _exponent(value: float, digits: int) -> str:
    """Return `5e-5` for 0.00005."""
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if value else "0"
