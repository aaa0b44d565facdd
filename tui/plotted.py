"""What of a run is plotted: which figures there are, by what the x axis counts, how smooth. No Textual, no files."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hftune.figures import figure

from .axes import Kind
from .curves import Curve, Mark, Picture
from .followed import FollowedRun
from .series import Point, Series

SMOOTHINGS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99)
SMOOTHING = 0.6
X_KINDS: tuple[Kind, ...] = ("step", "time", "tokens")
EVAL_SIGNS = {"train": "", "timing": "", "validation": "◆", "test": "◇"}
OTHER_SIGN = "▪"
NAN_SIGN = "✗"
BEST_SIGN = "★"
SPLITS = {"train": "train", "validation": "eval", "timing": ""}
TITLES = {
    "train/learning_rate": "learning rate", "train/grad_norm": "gradient norm",
    "timing/tokens_per_second": "tokens/s", "timing/memory_bytes": "memory in GiB",
}  # fmt: skip
SCALES = {"timing/memory_bytes": 2.0**30}


@dataclass(frozen=True)
class View:
    """How curves are looked at."""

    metric: str = "loss"
    x_kind: Kind = "step"
    smoothing: float = SMOOTHING
    log: bool = False


def metrics_of(names: Iterable[str], main: str = "") -> list[str]:
    """Return what can be plotted, of the series that there are: loss, the main metric, the others, lr, norm, speed.

    A metric is the name of what evaluation gives (`accuracy`) or of a series (`train/learning_rate`).
    """
    known = list(names)
    evaluated = dict.fromkeys(name.partition("/")[2] for name in known if name.partition("/")[0] not in SPLITS or
                              name.startswith("validation/"))  # fmt: skip
    found = ["loss", *sorted(evaluated, key=lambda name: name != main), *(name for name in TITLES if name in known)]
    return list(dict.fromkeys(name for name in found if name))


def title_of(metric: str) -> str:
    """Return what a metric is called in a legend."""
    return TITLES.get(metric, metric.rpartition("/")[2])


def picture_of(run: FollowedRun, view: View, empty: str = "nothing to draw yet") -> Picture:
    """Return the curves of one run; called with its lock held."""
    curves = []
    for look, (name, series) in enumerate(_series_of(run, view.metric)):
        prefix = name.partition("/")[0]
        label = SPLITS.get(prefix, prefix)
        last = series.last
        value = "" if last is None else figure(_scaled(last.value, name)) if last.value == last.value else "nan"
        words = " ".join(word for word in (label, value) if word)
        sign = EVAL_SIGNS.get(prefix, OTHER_SIGN)
        curves.append(curve_of(series, name, words, view, look=look, sign=sign))
    smooth = f"smooth {view.smoothing:g}" if any(curve.smooth for curve in curves) else ""
    note = "  ".join(part for part in ("log" if view.log else "", _by(view.x_kind), smooth) if part)
    total = run.following.total
    ends = (0.0, float(total)) if view.x_kind == "step" and total else None  # so that one sees how far it is
    return Picture(tuple(curves), title_of(view.metric), _marks(run, view), view.x_kind, view.log, note, empty, ends)


def curve_of(
    series: Series, name: str, words: str, view: View, *, look: int, sign: str = "", letter: str = ""
) -> Curve:
    """Return a series as a curve."""
    steps, values, lows, highs, times, tokens = zip(*series.points, strict=True) if len(series) else ((),) * 6
    factor = 1.0 / SCALES.get(name, 1.0)
    merged = any(low != high and low == low for low, high in zip(lows, highs, strict=True))
    smooth = series.smoothed(view.smoothing) if view.smoothing and not sign and len(steps) > 2 else ()

    def scaled(figures: Sequence[float]) -> Sequence[float]:
        return figures if factor == 1.0 else [value * factor for value in figures]

    return Curve(
        name=words,
        xs=times if view.x_kind == "time" else tokens if view.x_kind == "tokens" else steps,
        ys=scaled(values),
        lows=scaled(lows) if merged else (),
        highs=scaled(highs) if merged else (),
        smooth=scaled(smooth), sign=sign, letter=letter, look=look,
    )  # fmt: skip


def x_of(point: Point, kind: Kind) -> float:
    """Return where a point stands on the x axis."""
    return point.time if kind == "time" else point.tokens if kind == "tokens" else float(point.step)


def series_names(metric: str, names: Iterable[str]) -> list[str]:
    """Return which of the series show a metric: those of train first."""
    if "/" in metric:
        return [metric] if metric in names else []
    found = [name for name in names if name.partition("/")[2] == metric and not name.startswith("timing/")]
    return sorted(found, key=lambda name: (not name.startswith("train/"), not name.startswith("validation/"), name))


def change(series: Series | None, weight: float = SMOOTHING) -> float | None:
    """Return by how much the smoothed values changed over the last tenth of a curve; None when that is not known."""
    if series is None or len(series) < 2:
        return None
    values = [value for value in series.smoothed(weight) if math.isfinite(value)]
    if len(values) < 2:
        return None
    return values[-1] - values[-1 - max(1, len(values) // 10)]


def rises(series: Series | None) -> tuple[int, int]:
    """Return how many times in a row the newest values rose, and after which step."""
    points = [] if series is None else [point for point in series.points if point.value == point.value]
    count = 0
    while count + 1 < len(points) and points[-1 - count].value > points[-2 - count].value:
        count += 1
    return count, points[-1 - count].step if points else 0


def _series_of(run: FollowedRun, metric: str) -> list[tuple[str, Series]]:
    return [(name, run.series[name]) for name in series_names(metric, run.series)]


def _scaled(value: float, name: str) -> float:
    return value / SCALES.get(name, 1.0)


def _by(kind: Kind) -> str:
    return "" if kind == "step" else f"by {kind}"


def _marks(run: FollowedRun, view: View) -> tuple[Mark, ...]:
    marks = []
    train = run.series.get("train/loss")
    best = run.following.best.get("step")
    if isinstance(best, int) and view.metric == str(run.following.best.get("metric")):
        measured = run.series.get(f"validation/{view.metric}")
        marks.append(Mark(_x_at(measured, best, view.x_kind), BEST_SIGN, "best"))
    if view.metric == "loss":
        marks += [
            Mark(_x_at(train, step, view.x_kind), NAN_SIGN, "not finite", "bad", on_curve=True)
            for step in run.nan_steps
        ]
    return tuple(marks)


def _x_at(series: Series | None, step: int, kind: Kind) -> float:
    """Return where a step stands on the x axis, as far as a series knows."""
    if kind == "step":
        return float(step)
    points = series.points if series is not None else ()
    place = bisect_left(points, step, key=lambda point: point.step)
    return x_of(points[min(place, len(points) - 1)], kind) if points else math.nan
