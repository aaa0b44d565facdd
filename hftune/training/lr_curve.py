"""What a range test says: loss over learning rate, smoothed, and the rates that the usual rules read off it.

Rules of thumb, each with its name, none of them sure: where the loss falls steepest, a tenth of the rate with the
lowest loss, and the middle of the fall (its valley). Pure functions of the measured losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

STEPS = 100  # of a test, unless it is said otherwise
STEEPEST, TENTH, VALLEY = "steepest", "minimum/10", "valley"
STEP_COST = 3  # a step in forward passes: the backward pass takes about two; the test has one of each a step
# The loss is averaged over about so large a share of the test, so that its steps may be few or many.
_SMOOTHED_SHARE = 0.1
# Parts of the fall: it has begun when so much is done; so much above the start, and the test has diverged.
_BEGUN, _ABOVE_START = 0.1, 0.1
_GRID = (1.0, 2.0, 5.0)  # between neighbours lies a factor of two or so: what a short test can tell apart


@dataclass(frozen=True)
class Curve:
    """A range test: at each of `rates` the loss of that step's batch before its update, NaN or infinite at the end.

    `before`: the loss that the untouched weights have on the same batches, dropout drawn alike. `steps`: as many were
    planned; there are fewer losses when the test ended early.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    before: tuple[float, ...]
    steps: int

    @cached_property
    def averages(self) -> list[float]:
        """Each loss averaged over a tenth of the test, without what makes one batch harder than another.

        Averaged is what the steps changed, loss - before; the mean of `before` is added.
        """
        level = fmean(self.before)
        return [level + change for change in averaged(self._changes, smoothing(self.steps))]

    @cached_property
    def average_rates(self) -> list[float]:
        """The rates averaged as the losses are, in their logarithm.

        An average lags behind by its own width; so each averaged loss stands beside the rates that gave it.
        """
        return [math.exp(value) for value in averaged([math.log(rate) for rate in self.rates], smoothing(self.steps))]

    @property
    def start(self) -> int:
        """The first position whose average is over enough losses to be believed."""
        return min(len(self.losses) - 1, round(_SMOOTHED_SHARE * self.steps))

    @cached_property
    def diverged(self) -> int | None:
        """The first position whose averaged loss is clearly above where it began, or no number; None: there is none."""
        averages = self.averages
        if not math.isfinite(averages[self.start]):
            return self.start
        finite = [value for value in averages[self.start :] if math.isfinite(value)]
        limit = averages[self.start] + _ABOVE_START * (averages[self.start] - min(finite))
        # A loss that only ever rises has diverged once it is above its start by more than its noise.
        limit = max(limit, averages[self.start] + 2 * self._noise(self.start + 1))
        positions = range(self.start + 1, len(averages))
        return next((k for k in positions if not averages[k] <= limit), None)

    @cached_property
    def lowest(self) -> int:
        """The position of the lowest averaged loss before the test diverged."""
        end = len(self.averages) if self.diverged is None else self.diverged
        return min(range(self.start, end), key=lambda k: self.averages[k], default=self.start)

    @property
    def diverged_at(self) -> float | None:
        """The rate of the step at which the test diverged: a burst is its own doing, not that of those before."""
        return None if self.diverged is None else self.rates[self.diverged]

    @property
    def descends(self) -> bool:
        """Whether the loss fell by more than twice the standard error of the difference of two averages."""
        fall = self.averages[self.start] - self.averages[self.lowest]
        return self.lowest > self.start and fall > 2 * math.sqrt(2) * self._noise(self.lowest + 1)

    @property
    def _changes(self) -> list[float]:
        return [loss - before for loss, before in zip(self.losses, self.before, strict=True)]

    def _noise(self, count: int) -> float:
        """Return the standard error of an averaged loss, by how far the first `count` losses lie from the averages.

        The variance of an exponential average with decay d is (1 - d) / (1 + d) of that of one value.
        """
        level, decay = fmean(self.before), smoothing(self.steps)
        apart = [(level + self._changes[k] - self.averages[k]) ** 2 for k in range(count)]
        return math.sqrt(fmean(apart) * (1 - decay) / (1 + decay))


def exponential_rates(low: float, high: float, steps: int) -> list[float]:
    """Return `steps` rates from `low` to `high`, each the same factor above the one before (arXiv:1803.09820)."""
    return [low * (high / low) ** (k / max(1, steps - 1)) for k in range(steps)]


def smoothing(steps: int) -> float:
    """Return the decay of an exponential average that looks back over a tenth of so many steps."""
    return max(0.5, 1 - 1 / max(1.0, _SMOOTHED_SHARE * steps))


def averaged(values: Sequence[float], decay: float) -> list[float]:
    """Return the exponential averages: a_k = d a_(k-1) + (1 - d) v_k from 0, over 1 - d^k (Kingma and Ba 2015, 3)."""
    found, average = [], 0.0
    for count, value in enumerate(values, start=1):
        average = decay * average + (1 - decay) * value
        found.append(average / (1 - decay**count))
    return found


def is_over(curve: Curve) -> bool:
    """Whether the rest of a test would say nothing: no number, or an average far above both start and minimum."""
    if not math.isfinite(curve.losses[-1]):
        return True
    seen = curve.averages[curve.start :]
    return seen[-1] > max(2 * min(seen), 1.5 * seen[0])


def candidates(curve: Curve) -> dict[str, float]:
    """Return rule -> rate, none where the loss did not fall."""
    if not curve.descends:
        return {}
    rates, lowest = curve.average_rates, curve.lowest
    return {STEEPEST: rates[_steepest(curve)], TENTH: rates[lowest] / 10, VALLEY: rates[_valley(curve)]}


def middle_rate(rates: Sequence[float]) -> float:
    """Return the median: whichever of the rules is far off, it is not followed."""
    return float(median(rates))


def round_rate(rate: float) -> float:
    """Return the nearest of 1, 2, 5 times a power of ten, by ratio."""
    exponent = math.floor(math.log10(rate))
    grid = [float(f"{digit}e{power}") for power in (exponent, exponent + 1) for digit in _GRID]
    return min(grid, key=lambda value: abs(math.log(value / rate)))


def rate_name(rate: float) -> str:
    """Return a rate as recipes write it: `1e-4`, `2.5e-3`."""
    digits, _, exponent = f"{rate:.3e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def _steepest(curve: Curve) -> int:
    """Return where a straight line through a tenth of the test's steps falls most over the rate's logarithm."""
    width = max(2, round(_SMOOTHED_SHARE * curve.steps))
    slopes = dict(_slopes(curve, min(width, curve.lowest - curve.start)))
    return min(slopes, key=lambda k: slopes[k])


def _slopes(curve: Curve, width: int) -> Iterator[tuple[int, float]]:
    """Yield the middle of each window of `width` + 1 steps down to the minimum, and its least-squares slope."""
    for first in range(curve.start, curve.lowest - width + 1):
        window = slice(first, first + width + 1)
        x, y = [math.log(rate) for rate in curve.average_rates[window]], curve.averages[window]
        mean_x, mean_y = fmean(x), fmean(y)
        spread = sum((each - mean_x) ** 2 for each in x)
        yield first + width // 2, sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def _valley(curve: Curve) -> int:
    """Return the middle between where the fall begins (a tenth of it is done) and the minimum.

    fastai's rule of that name takes the longest decreasing subsequence for the fall; the long flat beginning, where the
    loss sinks by a thousandth, counts there as well.
    """
    high, low = curve.averages[curve.start], curve.averages[curve.lowest]
    level = high - _BEGUN * (high - low)
    begun = max(k for k in range(curve.start, curve.lowest) if curve.averages[k] >= level)
    return (begun + curve.lowest) // 2
