"""Quality over size, drawn in plain characters that fit 80 columns, and as a PNG where matplotlib is installed."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from hftune.errors import UsageError
from hftune.figures import size
from hftune.frontier.folder import Result
from hftune.frontier.report import figure3
from hftune.frontier.verdict import Verdict
from hftune.output import can_hold
from hftune.runs.files import write_atomic

WIDTH, HEIGHT, AXIS = 68, 10, 8  # of the drawing, and of the numbers at its left
MARKED = 3  # columns of a model's number, in parentheses on the front
HINT = "pip install 'hftune[plot]' draws it, too."


@dataclass(frozen=True)
class _Scale:
    """Values from `low` to `high` as places 0 to `last`."""

    low: float
    high: float
    last: int

    def place(self, value: float) -> int:
        """Return the nearest place."""
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(share * self.last)


def plot_lines(results: Sequence[Result], verdict: Verdict, stream: TextIO) -> list[str]:
    """Return quality (the better the higher) over size (logarithmic); numbers are those of the tables."""
    split = verdict.judged_on
    known = [
        (number, one, one.quality[split].value.value)
        for number, one in enumerate(results)
        if math.isfinite(one.quality[split].value.value)
    ]
    if len(known) < 2:
        return []
    relative = results[0].quality[split].relative
    # At least what chance does to the parent's figure: less would make a mountain of nothing.
    chance = results[0].quality[split].value
    values = [value for value in (*(each for _, _, each in known), chance.low, chance.high) if value is not None]
    top, bottom = (min(values), max(values)) if relative else (max(values), min(values))
    down = _Scale(top, bottom, HEIGHT - 1)
    sizes = [math.log(one.bytes) for _, one, _ in known]
    across = _Scale(min(sizes), max(sizes), WIDTH - MARKED)
    canvas = [[" "] * WIDTH for _ in range(HEIGHT)]
    for number, one, value in known:
        mark = f"({number})" if one.name in verdict.front else f" {number} "
        _put(canvas, down.place(value), across.place(math.log(one.bytes)), mark)
    wall, corner, floor = ("│", "└", "─") if can_hold(stream, "│└─") else ("|", "+", "-")
    metric = results[0].quality[split].metric
    lines = [f"{metric} over size (logarithmic); in parentheses what none is better than"]
    for row, cells in enumerate(canvas):
        level = figure3(top + (bottom - top) * row / (HEIGHT - 1)) if row % 3 == 0 else ""
        lines.append(f"{level:>{AXIS}} {wall}{''.join(cells)}".rstrip())
    left, right = (size(end(one.bytes for _, one, _ in known)) for end in (min, max))
    lines.append(f"{'':{AXIS}} {corner}{floor * WIDTH}")
    lines.append(f"{'':{AXIS}}  {left}{right:>{WIDTH - len(left) - 1}}")
    return lines


def _put(canvas: list[list[str]], row: int, column: int, mark: str) -> None:
    """Write a mark where it belongs, or in the nearest place where there is room."""
    rows = sorted(range(len(canvas)), key=lambda one: abs(one - row))
    columns = sorted(range(len(canvas[0]) - len(mark) + 1), key=lambda one: abs(one - column))
    for down in rows[:3]:
        for across in columns[: 4 * MARKED]:
            if all(cell == " " for cell in canvas[down][across : across + len(mark)]):
                canvas[down][across : across + len(mark)] = mark
                return


def has_matplotlib() -> bool:
    """Tell whether a PNG can be drawn."""
    return find_spec("matplotlib") is not None


def require_matplotlib() -> None:
    """Raise UsageError when there is nothing to draw with; to be asked before anything is made."""
    if not has_matplotlib():
        raise UsageError(
            "--png needs matplotlib, which is not installed",
            hint="pip install 'hftune[plot]'; without --png the plot is in the terminal, with --json its numbers.",
        )


def require_writable(path: Path) -> None:
    """Raise UsageError when --png says what cannot be written; to be asked before anything is made."""
    folder = path.parent
    if path.is_dir():
        raise UsageError(f"--png: {path} is a folder", hint=f"Name a file in it: --png {path / 'frontier.png'}.")
    if not folder.is_dir():
        raise UsageError(f"--png: there is no folder {folder}", hint=f"mkdir -p {folder} makes it.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--png: nothing can be written in {folder}", hint="Name a file in a folder of yours.")


def draw_png(title: str, results: Sequence[Result], verdict: Verdict) -> bytes:
    """Return a PNG: quality with its interval over size, and over the time of one text alone; the front is filled."""
    figure: Any = import_module("matplotlib.figure").Figure(figsize=(11, 5), layout="constrained")
    by_size, by_time = figure.subplots(1, 2, sharey=True)
    split = verdict.judged_on
    metric, relative = results[0].quality[split].metric, results[0].quality[split].relative
    _draw(by_size, [(one, one.bytes / 1e6) for one in results], split, verdict)
    timed = [(one, one.cost.p50_ratio.median) for one in results if one.cost is not None]
    _draw(by_time, timed, split, verdict)
    by_size.set_xscale("log")
    by_size.xaxis.set_major_formatter("{x:g}")
    by_size.xaxis.set_minor_formatter("{x:g}")
    by_size.set_xlabel("size on disk, MB")
    by_time.set_xlabel("time of one alone, of the parent's")
    by_size.set_ylabel(f"{metric} on {split}")
    if relative:
        by_size.invert_yaxis()
    figure.suptitle(title)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    return data.getvalue()


def _draw(axes: Any, points: Sequence[tuple[Result, float]], split: str, verdict: Verdict) -> None:
    for number, (one, x) in enumerate(points):
        interval = one.quality[split].value
        ahead = one.name in verdict.front
        color = "C0" if ahead else "0.6"
        if interval.low is not None and interval.high is not None:
            axes.plot([x, x], [interval.low, interval.high], color=color, linewidth=1, alpha=0.6)
        axes.plot([x], [interval.value], "o", color=color, markerfacecolor=color if ahead else "white")
        axes.annotate(
            one.name, (x, interval.value), textcoords="offset points", xytext=(6, (4, -11)[number % 2]), fontsize=8
        )


def save_png(path: Path, png: bytes) -> None:
    """Write a PNG; raises UsageError when that cannot be."""
    try:
        write_atomic(path, png)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
