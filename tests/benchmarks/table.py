"""Figures beside their targets, as a Markdown table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

MILLISECONDS = 1000


class Table:
    """One row for each figure. A time is judged by its 95th percentile, shares and sizes by their median."""

    def __init__(self) -> None:
        self._rows: list[str] = []
        self._notes: list[str] = []
        self._over = 0

    def times(self, name: str, target: float | None, seconds: Sequence[float]) -> None:
        """Add times; `target` is in milliseconds."""
        self._add(name, target, [MILLISECONDS * each for each in seconds], "ms", share=95)

    def shares(self, name: str, target: float | None, percents: Sequence[float]) -> None:
        """Add shares of a core, in percent."""
        self._add(name, target, percents, "%", share=50)

    def sizes(self, name: str, target: float | None, mebibytes: Sequence[float]) -> None:
        """Add sizes in MiB."""
        self._add(name, target, mebibytes, "MiB", share=50)

    def note(self, text: str) -> None:
        """Say something below the table."""
        self._notes.append(text)

    def text(self) -> str:
        """Return the table, how many figures are above their targets, and the notes."""
        head = ["| figure | target | median | 95th percentile | n |", "|---|---:|---:|---:|---:|"]
        said = f"{self._over} above target (marked with !)" if self._over else "all within their targets"
        judged = "times are judged by the 95th percentile, shares and sizes by the median"
        return "\n".join([*head, *self._rows, "", f"{said}; {judged}", *self._notes])

    def _add(self, name: str, target: float | None, values: Sequence[float], unit: str, share: int) -> None:
        if not values:
            self._rows.append(f"| {name} | {_figure(target, unit)} | – | – | 0 |")
            return
        judged = percentile(values, share)
        over = target is not None and judged > target
        self._over += over
        ends = [_figure(percentile(values, each), unit) + (" !" if over and each == share else "") for each in (50, 95)]
        row = f"| {name} | {_figure(target, unit)} | {ends[0]} | {ends[1]} | {len(values)} |"
        self._rows.append(row)
        print(row, flush=True)


def percentile(values: Sequence[float], share: int) -> float:
    """Return the smallest value that at least `share` percent of the values do not exceed, or the median."""
    if share == 50:
        return statistics.median(values)
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
