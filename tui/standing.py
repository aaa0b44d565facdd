"""How a run stands, in the few lines above its curves: how long to go first, then figures, then speed. No Textual."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hftune.energy.usage import about_joules
from hftune.figures import ago, duration, figure, many, size
from hftune.runs import process
from hftune.runs.following import mapping, whole

from .drawing import Part, clip, columns_of, sanitize
from .followed import FollowedRun, number
from .plotted import change
from .run_files import Figures

GAP = "   "
LARGE = 1e5
MARKS = {
    "queued": "◌", "preparing": "◔", "training": "●", "evaluating": "◐", "paused": "‖", "done": "✓", "failed": "✗",
    "stopped": "■", "lost": "?", "unreadable": "!", "gone": "✗",
}  # fmt: skip
STYLES = {
    "queued": "$warning", "preparing": "$primary", "training": "$primary", "evaluating": "$primary",
    "paused": "$warning", "done": "$success", "failed": "bold $error", "stopped": "$muted", "lost": "bold $error",
    "unreadable": "bold $error", "gone": "bold $error",
}  # fmt: skip
Line = list[Part]


def status_of(run: FollowedRun) -> str:
    """Return its status; `unreadable` when its state cannot be read."""
    return run.state.status if run.state is not None else "unreadable"


def lines_of(run: FollowedRun, now: float, columns: int, final: Figures | None = None) -> list[Line]:
    """Return the lines about a run, each at most `columns` wide; called with its lock held."""
    status = status_of(run)
    first = _working(run, now, columns) if status in ("training", "evaluating") else _other(run, status, now, columns)
    lines = [first]
    if status == "done" and final:
        lines += [_split_line(split, values, columns) for split, values in final.items()]
    elif figures := _figures(run):
        lines.append(fitting(figures, columns))
    if pace := _pace(run, now):
        lines.append(fitting(pace, columns))
    return lines


def fitting(parts: Sequence[Part | Line], columns: int, gap: str = GAP) -> Line:
    """Return as many parts as fit in a line, from the first on; a part may be several pieces that stay together."""
    shown: Line = []
    room = columns
    for part in parts:
        pieces = part if isinstance(part, list) else [part]
        wide = sum(columns_of(sanitize(piece if isinstance(piece, str) else piece[0])) for piece in pieces)
        wide += len(gap) if shown else 0
        if wide > room and shown:
            break
        if wide > room:
            return [_clipped(pieces[0], columns)]
        shown += [gap, *pieces] if shown else pieces
        room -= wide
    return shown


def _clipped(piece: Part, columns: int) -> Part:
    if isinstance(piece, str):
        return clip(sanitize(piece), columns)
    return clip(sanitize(piece[0]), columns), piece[1]


def phase_words(run: FollowedRun, now: float) -> list[str]:
    """Return which phase a run is in, since when, and about how long it takes where that is known."""
    following = run.following
    name = following.phase if following.phase not in ("", following.status) else ""
    words = [name] if name else []
    words += _done_words(run)
    done, total = whole(following.progress.get("done")), whole(following.progress.get("total"))
    begun, before = _phase_times(run)
    if begun is None:
        return words
    since = max(0.0, now - begun)
    if total and done and since >= 1:
        words.append(f"about {duration(max(0.0, since * (total - done) / done))} left")
    elif before is not None:
        words.append(f"about {duration(before)}, {duration(since)} so far")
    elif since >= 1:
        words.append(f"for {duration(since)}")
    return words


def _done_words(run: FollowedRun) -> list[str]:
    """Return how far the work of a phase is: `412 of 872 examples`; nothing where that is not told."""
    progress = run.following.progress
    if not progress:
        return []
    done, total, unit = whole(progress.get("done")), whole(progress.get("total")), str(progress.get("unit") or "")
    both = (size(done), size(total)) if unit == "bytes" else (f"{done:,}", f"{total:,} {unit}".rstrip())
    return [f"{both[0]} of {both[1]}" if total else both[0]]


def elapsed_seconds(run: FollowedRun) -> float:
    """Return how long it has trained, over all attempts."""
    ends = [last.time for series in run.series.values() if (last := series.last) is not None]
    return max(ends, default=0.0)


def is_elsewhere(run: FollowedRun) -> bool:
    """Tell whether a run was carried out on another machine."""
    return run.state is not None and bool(run.state.host) and run.state.host != process.host()


def best_words(run: FollowedRun) -> str:
    """Return the best value of the metric that picks the model: `0.866@250`; empty while there is none."""
    best = run.following.best
    if best:
        return f"{figure(best.get('value'))}@{whole(best.get('step')):,}"
    state = run.state
    return figure(state.metric_value) if state is not None and state.metric else ""


def main_metric(run: FollowedRun) -> str:
    """Return the metric that picks the best model; empty while it is not known."""
    named = run.following.plan.get("metric") or run.following.best.get("metric")
    return str(named) if named else (run.state.metric if run.state else "")


def _working(run: FollowedRun, now: float, columns: int) -> Line:
    following, timing = run.following, run.following.timing
    step, total = following.step, following.total
    parts: list[Part] = []
    if timing.get("eta_seconds") is not None:
        error = number(timing.get("eta_error_seconds"))
        margin = f" ±{duration(error)}" if error else ""
        parts.append((f"ETA {duration(number(timing['eta_seconds'], math.nan))}{margin}", "bold"))
    share = step / total if total else 0.0
    if total:
        parts += [(f"{100 * step // total}%", "bold"), f"step {step:,}/{total:,}"]
    else:
        parts.append(f"step {step:,}")
    if run.state is not None and run.state.status == "evaluating":
        parts.append((" ".join(["evaluating", *_done_words(run)]), "$primary"))
    elif (epoch := number(following.train.get("epoch"))) and following.plan.get("num_train_epochs"):
        parts.append(f"epoch {figure(round(epoch, 2))}/{figure(following.plan['num_train_epochs'])}")
    return _with_bar(fitting(parts, columns, "  "), share, columns) if total else fitting(parts, columns, "  ")


def _with_bar(line: Line, share: float, columns: int) -> Line:
    room = columns - sum(columns_of(piece if isinstance(piece, str) else piece[0]) for piece in line) - 1
    if room < 8:
        return line
    full = round(min(1.0, max(0.0, share)) * room)
    return [*line, " ", ("━" * full, "$primary"), ("─" * (room - full), "$muted")]


def _other(run: FollowedRun, status: str, now: float, columns: int) -> Line:
    """Return the first line of a run that does not train now."""
    state, following = run.state, run.following
    head: Part = (f"{MARKS.get(status, '·')} {status}", STYLES.get(status, ""))
    if status == "preparing":
        done, total = whole(following.progress.get("done")), whole(following.progress.get("total"))
        line = fitting([head, *phase_words(run, now)], columns, "  ")
        return _with_bar(line, done / total, columns) if total else line
    if status == "queued":
        reason = state.reason if state is not None else ""
        return fitting([head, reason or "its process is about to begin"], columns, "  ")
    step, total = _reached(run)
    at = f"at step {step:,} of {total:,}" if total else ""
    if status == "done":
        spent = elapsed_seconds(run)
        parts = [f"in {duration(spent)}" if spent else "", many(step, "step") if step else ""]
        best = best_words(run)
        parts.append(f"best {main_metric(run)} {best}" if best else "")
        return fitting([head, *(part for part in parts if part), ("c asks it", "$muted")], columns, "  ")
    return fitting([head, at] if at else [head], columns, "  ")


def _reached(run: FollowedRun) -> tuple[int, int]:
    state = run.state
    step = max(run.following.step, state.step if state else 0)
    return step, run.following.total or (state.total_steps if state else 0)


def _figures(run: FollowedRun) -> list[Part | Line]:
    """Return loss with its change, the main metric with its best, learning rate and gradient norm."""
    values = run.following.metrics
    parts: list[Part | Line] = []
    if "loss" in values:
        parts.append(_loss(run, values["loss"]))
    name = main_metric(run)
    measured = run.series.get(f"validation/{name}")
    last = measured.last if measured is not None else None
    if last is not None:
        best = best_words(run)
        shown = "eval loss" if name == "loss" else name
        parts.append(f"{shown} {figure(last.value)}" + (f" (best {best})" if best else ""))
    for key, label, form in (("learning_rate", "lr", ".2g"), ("grad_norm", "grad", ".3g")):
        if key in values:
            value = values[key]
            known = isinstance(value, int | float) and not isinstance(value, bool)
            parts.append(f"{label} {format(value, form) if known else 'nan'}")
    return parts


def _loss(run: FollowedRun, value: object) -> Line:
    if not isinstance(value, int | float):
        return [("loss nan", "bold $error")]
    moved = change(run.series.get("train/loss"))
    said = f"loss {value:.4f}" if abs(value) < LARGE else f"loss {value:.3g}"
    if not moved:
        return [said]
    return [
        f"{said} ",
        (f"{'▼' if moved < 0 else '▲'}{abs(moved):.2g}", "$success" if moved < 0 else "$warning"),
    ]


def _pace(run: FollowedRun, now: float) -> list[Part | Line]:
    timing = run.following.timing
    parts: list[Part | Line] = []
    if timing.get("tokens_per_second") is not None:
        parts.append(f"{number(timing['tokens_per_second']):,.0f} tok/s")
    if timing.get("memory_bytes"):
        parts.append(f"memory {size(timing['memory_bytes'])}")
    if timing.get("energy_joules") is not None:  # only where a run says so
        counted = timing.get("energy_counted") is True
        parts.append(f"energy {about_joules(number(timing['energy_joules']), counted)}")
    spent = elapsed_seconds(run)
    if spent:
        parts.append(f"elapsed {duration(spent)}")
    elif run.state is not None and run.state.status in ("preparing", "queued") and run.state.created:
        parts.append(f"begun {ago(now - run.state.created)}")
    if run.following.attempt > 1:
        parts.append(f"attempt {run.following.attempt}")
    if run.state is not None and is_elsewhere(run):
        parts.append(f"on {run.state.host}")
    return parts


def _split_line(split: str, values: object, columns: int) -> Line:
    shown = [f"{name} {figure(value)}" for name, value in mapping(values).items()]
    return fitting([(f"{split:<10}", "bold"), *shown], columns, "  ")


def _phase_times(run: FollowedRun) -> tuple[float | None, float | None]:
    """Return when the phase began, and how long the same one took the last time (in an earlier attempt)."""
    lines = list(run.lines)
    places = [at for at, line in enumerate(lines) if line.kind == "phase" and line.text == run.following.phase]
    if not places:
        return None, None
    earlier = [lines[at + 1].time - lines[at].time for at in places[:-1]]
    return lines[places[-1]].time, earlier[-1] if earlier else None
