"""How fast training goes and when it will be done. Nothing here touches what is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Measures this attempt: speed between two points of the curve, time left with its uncertainty."""

    def __init__(self, total_steps: int, step: int, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._total = total_steps
        self._began = self._last_time = now()
        self._first_step = self._last_step = step
        self._last_tokens = self._last_samples = 0
        self._paces: list[float] = []  # seconds a step of training, one value an interval

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave what happens within (an evaluation, a save) out of the speed; the time left counts it in."""
        began = self._now()
        yield
        self._last_time += self._now() - began

    def lap(self, step: int, tokens: int, samples: int) -> dict[str, float]:
        """Return the timing of the interval that ends at `step`; `tokens` and `samples` count in this attempt."""
        now = self._now()
        seconds = max(now - self._last_time, 1e-9)
        steps = max(step - self._last_step, 1)
        self._paces.append(seconds / steps)
        timing = {
            "tokens_per_second": (tokens - self._last_tokens) / seconds,
            "samples_per_second": (samples - self._last_samples) / seconds,
            "elapsed_seconds": now - self._began,
            **self._remaining(step, now),
        }
        self._last_time, self._last_step, self._last_tokens, self._last_samples = now, step, tokens, samples
        return timing

    def _remaining(self, step: int, now: float) -> dict[str, float]:
        """Seconds left from the mean pace so far (evaluations and saves included), and its standard error."""
        left = self._total - step
        pace = (now - self._began) / max(step - self._first_step, 1)
        count = len(self._paces)
        mean = sum(self._paces) / count
        variance = sum((each - mean) ** 2 for each in self._paces) / max(count - 1, 1)
        # With one interval nothing is known about the spread: say half the time.
        error = math.sqrt(variance / count) if count > 1 else pace / 2
        return {"eta_seconds": pace * left, "eta_error_seconds": error * left}
