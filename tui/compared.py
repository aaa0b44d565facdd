"""Several runs side by side: curves over each other, figures in a table, the keys that differ. No Textual."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hftune.energy.usage import about_joules
from hftune.figures import duration, figure, size
from hftune.runs.following import whole

from .curves import Curve, Picture
from .drawing import Part, columns_of, pad, sanitize
from .folder import short_name
from .followed import FollowedRun, number
from .plotted import SPLITS, TITLES, View, curve_of
from .run_files import differing
from .standing import MARKS, STYLES, elapsed_seconds, main_metric, status_of

LETTERS = "ABCDEFGH"
MOST = len(LETTERS)
LOOK_STYLES = ("$primary", "$accent", "$secondary", "$error", "$curve-4", "$curve-5", "$foreground", "$primary")
LEAST_NAME, MOST_NAME = 10, 36
GAP = "  "
UNKNOWN = "–"
TRAIN_LOSS = "train/loss"


@dataclass(frozen=True)
class Figures:
    """What a table says of a run; None where it is not known."""

    name: str
    status: str
    metric: str = ""
    best: float | None = None
    best_step: int | None = None
    seconds: float | None = None
    memory: float | None = None
    speed: float | None = None
    energy: float | None = None
    energy_counted: bool = False


def figures_of(run: FollowedRun, status: str = "") -> Figures:
    """Return the figures of a run; called with its lock held."""
    best, state = run.following.best, run.state
    value, step = best.get("value"), best.get("step")
    if not best and state is not None:
        value, step = state.metric_value, None
    memory = run.series.get("timing/memory_bytes")
    highs = [point.high for point in memory.points if point.high == point.high] if memory is not None else []
    speeds = run.series.get("timing/tokens_per_second")
    known = [point.value for point in speeds.points if point.value == point.value] if speeds is not None else []
    energy = run.following.timing.get("energy_joules")
    return Figures(
        name=short_name(run.path.name),
        status=status or status_of(run),
        metric=main_metric(run),
        best=number(value) if isinstance(value, int | float) else None,
        best_step=whole(step) if step is not None else None,
        seconds=elapsed_seconds(run) or None,
        memory=max(highs, default=None),
        speed=sum(known) / len(known) if known else None,
        energy=number(energy) if energy is not None else None,
        energy_counted=run.following.timing.get("energy_counted") is True,
    )


def metrics_of(names: Iterable[str], main: Sequence[str]) -> list[str]:
    """Return the series that can be laid over each other: loss of train, what judges the runs, the others."""
    known = set(names)
    evaluated = sorted(name for name in known if name.partition("/")[0] not in ("train", "timing"))
    wanted = [TRAIN_LOSS, *(f"validation/{name}" for name in main if name), "validation/loss", *evaluated, *TITLES]
    return [name for name in dict.fromkeys(wanted) if name in known or name == TRAIN_LOSS]


def title_of(series: str) -> str:
    """Return what a series is called: `train loss`, `eval accuracy`, `tokens/s`."""
    prefix, _, name = series.partition("/")
    return TITLES.get(series, f"{SPLITS.get(prefix, prefix)} {name}")


def curve_for(run: FollowedRun, place: int, view: View) -> Curve | None:
    """Return the curve of one of the runs, None when it has none; called with its lock held."""
    series = run.series.get(view.metric)
    if series is None or not len(series):
        return None
    return curve_of(series, view.metric, "", view, look=place, letter=LETTERS[place])


def picture_of(curves: Sequence[Curve | None], view: View) -> Picture:
    """Return the curves of all runs over each other, with the letters of those that have none of this figure."""
    missing = " ".join(LETTERS[place] for place, curve in enumerate(curves) if curve is None)
    by = "" if view.x_kind == "step" else f"by {view.x_kind}"
    smooth = f"smooth {view.smoothing:g}" if any(curve is not None and curve.smooth for curve in curves) else ""
    none = f"none of {missing}" if missing else ""
    note = GAP.join(part for part in (none, "log" if view.log else "", by, smooth) if part)
    drawn = tuple(curve for curve in curves if curve is not None)
    return Picture(drawn, title_of(view.metric), (), view.x_kind, view.log, note, f"no {title_of(view.metric)} yet")


def table(figures: Sequence[Figures], here: int, baseline: int | None, columns: int) -> list[list[Part]]:
    """Return a heading and a line for each run; with a baseline the others say by how much they differ from it."""
    metrics = {each.metric for each in figures if each.metric}
    shared = next(iter(metrics)) if len(metrics) == 1 else ""
    pinned = figures[baseline] if baseline is not None else None
    heads = ["STATUS", f"BEST {shared}".rstrip(), "TIME", "MEMORY", "TOK/S"]
    rows = [_cells(each, pinned if each is not pinned else None, shared) for each in figures]
    if any(each.energy is not None for each in figures):
        heads.append("ENERGY")
    else:
        rows = [row[:5] for row in rows]
    widths = [max(columns_of(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    while widths and columns - 4 - sum(widths) - len(GAP) * len(widths) < LEAST_NAME:
        widths.pop()
    name = columns - 4 - sum(widths) - len(GAP) * len(widths)
    name = max(4, min(name, MOST_NAME, max(3, *(columns_of(sanitize(each.name)) for each in figures))))
    lines: list[list[Part]] = [[(_row("    ", "RUN", name, heads, widths), "$muted")]]
    for place, (each, row) in enumerate(zip(figures, rows, strict=True)):
        style = "bold" if place == here else ""
        lines.append([
            ("▸" if place == here else " ", "$primary"), (LETTERS[place], f"bold {LOOK_STYLES[place]}"),
            ("= " if place == baseline else "  ", "bold"), (pad(sanitize(each.name), name) + GAP, style),
            (pad(row[0], widths[0]) if widths else "", STYLES.get(each.status, "")),
            (_row("", "", 0, row[1:], widths[1:]), style),
        ])  # fmt: skip
    return lines


def key_lines(facts: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a line for each key that is not alike in the recipes of these letters: `training.seed  A C 0   B 1`."""
    found = differing(list(facts.values()))
    width = max(map(columns_of, map(sanitize, found)), default=0)
    lines = []
    for key, values in found.items():
        letters: dict[str | None, str] = {}
        for letter, value in zip(facts, values, strict=True):
            letters[value] = f"{letters[value]} {letter}" if value in letters else letter
        said = "   ".join(f"{of} {UNKNOWN if value is None else value}" for value, of in letters.items())
        lines.append(f"{pad(sanitize(key), width)}  {said}")
    return lines


def different_metrics(figures: Sequence[Figures]) -> str:
    """Say which runs are judged by which figure, where that is not the same for all; else nothing."""
    letters: dict[str, str] = {}
    for place, each in enumerate(figures):
        if each.metric:
            letters[each.metric] = f"{letters.get(each.metric, '')} {LETTERS[place]}".strip()
    if len(letters) < 2:
        return ""
    return "judged by different figures: " + ", ".join(f"{of} by {metric}" for metric, of in letters.items())


def _row(left: str, name: str, name_width: int, cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = [pad(cell, width) for cell, width in zip(cells, widths, strict=False)]
    head = f"{left}{pad(name, name_width)}" if name_width else ""
    return head + "".join(GAP + cell for cell in shown)


def _cells(each: Figures, pinned: Figures | None, shared: str) -> list[str]:
    """Return status, best, time, memory, speed, energy as words; differences from `pinned` where it is given."""
    same = pinned is not None and pinned.metric == each.metric
    best = _best(each, pinned.best if pinned is not None and same else None)
    named = f"{each.metric} {best}" if each.metric and not shared and best != UNKNOWN else best
    cells = [f"{MARKS.get(each.status, '·')} {each.status}", sanitize(named)]

    def energy(joules: float) -> str:
        return about_joules(joules, each.energy_counted)

    for name, words in (("seconds", duration), ("memory", size), ("speed", _speed), ("energy", energy)):
        value, base = getattr(each, name), getattr(pinned, name) if pinned is not None else None
        if value is None:
            cells.append(UNKNOWN)
        elif base is None:
            cells.append(words(value))
        else:
            moved = value - base
            cells.append(f"{'+' if moved >= 0 else '-'}{words(abs(moved))}")
    return cells


def _best(each: Figures, base: float | None) -> str:
    if each.best is None:
        return UNKNOWN
    value = figure(each.best) if base is None else f"{'+' if each.best >= base else '-'}{figure(abs(each.best - base))}"
    return value + (f"@{each.best_step:,}" if each.best_step is not None else "")


def _speed(value: float) -> str:
    return f"{value:,.0f}"
