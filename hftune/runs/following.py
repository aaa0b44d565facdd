"""What the events so far say about a run, and the line that stays of each: for `run`, `watch` and the app alike.

Events may come from a later version, or from a file that a hand has edited: a field that is missing or odd is left
out of what is said, and ends nothing. Lines are sanitized, and fit in 80 columns where they can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from hftune.figures import count, duration, figure, many, size
from hftune.runs.compression import Comparison
from hftune.runs.events import Event
from hftune.runs.state import ACTIVE
from hftune.sanitize import sanitize

LINE_COLUMNS = 80
LARGEST = 2**63
SHOWN_METRICS = 3
MARKS = {"error": "✗", "warning": "!", "info": "·"}

# How loud a line is; who shows it chooses a style.
Level = Literal["", "quiet", "strong", "info", "warning", "error"]
Line = tuple[str, Level]


class Following:
    """What the events so far say about a run."""

    def __init__(self) -> None:
        self.status = "preparing"
        self.reason = ""
        self.phase = ""
        self.progress: Mapping[str, Any] = {}
        self.plan: Mapping[str, Any] = {}
        self.train: Mapping[str, Any] = {}
        self.evaluation: Mapping[str, Any] = {}
        self.best: Mapping[str, Any] = {}
        self.result: Mapping[str, Any] = {}
        self.attempt = 1

    def take(self, event: Event) -> None:
        """Take in the next event; unknown kinds change nothing."""
        self.attempt = event.attempt
        data = event.data
        match event.kind:
            case "status":
                self.status, self.reason = str(data.get("status")), str(data.get("reason") or "")
            case "phase":
                self.phase, self.progress = str(data.get("detail") or data.get("phase") or ""), {}
            case "progress":
                self.progress = data
            case "plan":
                self.plan = data
            case "train":
                self.train, self.progress = data, {}
            case "eval":
                self.evaluation, self.progress = data, {}
            case "best":
                self.best = data
            case "result":
                self.result = data

    @property
    def step(self) -> int:
        return whole(self.train.get("step"))

    @property
    def total(self) -> int:
        return whole(self.plan.get("total_steps"))

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The newest training figures: loss, learning_rate, grad_norm."""
        return mapping(self.train.get("metrics"))

    @property
    def timing(self) -> Mapping[str, Any]:
        """The newest figures of clocks and meters: tokens_per_second, memory_bytes, eta_seconds …"""
        return mapping(self.train.get("timing"))


def line_of(event: Event, now: Following) -> Line:
    """Return the line that stays of an event and its level; an empty line for none or for one that makes no sense."""
    maker = _LINES.get(event.kind)
    try:
        line, level = maker(event.data, now) if maker else ("", "")
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        return "", ""  # a field of a newer version, or of a hand that edited the file
    return sanitize(line), level


def train_figures(values: Mapping[str, Any]) -> list[str]:
    """Return the figures of a train event as words: `loss 0.4121`, `lr 1.9e-05`, `grad 1.42`."""
    shown = [("loss", "loss", ".4f"), ("learning_rate", "lr", ".2g"), ("grad_norm", "grad", ".3g")]
    return [
        f"{label} {format(values[name], form) if isinstance(values[name], float | int) else 'nan'}"
        for name, label, form in shown
        if name in values
    ]


def speed(timing: Mapping[str, Any]) -> list[str]:
    """Return speed and memory as words: `1,840 tok/s`, `1.92 GiB`; without those that are not known."""
    parts = []
    if (tokens := timing.get("tokens_per_second")) is not None:
        parts.append(f"{tokens:,.0f} tok/s")
    if timing.get("memory_bytes"):
        parts.append(size(timing["memory_bytes"]))
    return parts


def headline_metrics(data: Mapping[str, Any], now: Following) -> list[str]:
    """Return the metric that picks the best model, the loss, and one more of an eval event: what fits on a line."""
    values = mapping(data.get("metrics"))
    names = list(dict.fromkeys([str(now.plan.get("metric")), "loss", *values]))
    return [f"{name} {figure(values[name])}" for name in names if name in values][:SHOWN_METRICS]


def whole(value: Any) -> int:
    """Return a number of an event as an int, 0 when it is none or absurdly large."""
    return int(value) if isinstance(value, int | float) and abs(value) < LARGEST else 0


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a part of an event that should have names, an empty one when it has none."""
    return value if isinstance(value, Mapping) else {}


def _status(data: Mapping[str, Any], now: Following) -> Line:
    # A status without a reason goes with a phase; that a run has ended is said by the last words about it.
    told = data.get("reason") and data["status"] in ACTIVE
    return (f"{data['status']}: {data['reason']}" if told else ""), "quiet"


def _phase(data: Mapping[str, Any], now: Following) -> Line:
    if data.get("phase") in ("", None, "training", "evaluating", "saving", "queued"):
        return "", ""  # other lines say it
    return str(data.get("detail") or data["phase"]), "quiet"


def _plan(data: Mapping[str, Any], now: Following) -> Line:
    trained, parameters = data.get("trainable_parameters"), data.get("parameters")
    share = f" ({count(trained)} trained)" if trained != parameters else ""
    processes = f" x {data['processes']}" if whole(data.get("processes")) > 1 else ""
    return (
        f"plan: {many(whole(data.get('total_steps')), 'step')}, {many(data.get('num_train_epochs'), 'epoch')} of "
        f"{many(whole(data.get('train_examples')), 'example')}, {count(parameters)} parameters{share}, "
        f"{data.get('device')}{processes} {data.get('precision')}, {many(data.get('threads'), 'thread')}"
    ), ""


def _train(data: Mapping[str, Any], now: Following) -> Line:
    timing = mapping(data.get("timing"))
    figures, pace = train_figures(mapping(data.get("metrics"))), speed(timing)
    left = [f"ETA {duration(timing['eta_seconds'])}"] if timing.get("eta_seconds") is not None else []
    parts = [f"step {now.step:,}/{now.total:,}", *figures, *pace, *left]
    return _fitting(parts, [*reversed(pace), *reversed(figures[1:])]), ""


def _eval(data: Mapping[str, Any], now: Following) -> Line:
    seconds = mapping(data.get("timing")).get("seconds")
    took = [duration(seconds)] if seconds is not None else []
    examples, values = many(whole(data.get("examples")), "example"), headline_metrics(data, now)
    parts = [f"eval  step {whole(data.get('step')):,}", str(data.get("split")), *values, examples, *took]
    return _fitting(parts, [examples, *values[2:], *took, *values[1:2]]), "strong"


def _checkpoint(data: Mapping[str, Any], now: Following) -> Line:
    took = f", {duration(data['seconds'])}" if data.get("seconds") is not None else ""
    return f"saved step {whole(data.get('step')):,}  ({size(data.get('bytes'))}{took})", "quiet"


def _resume(data: Mapping[str, Any], now: Following) -> Line:
    line = f"going on after step {whole(data.get('step')):,}"
    if data.get("quarantined"):
        line += f"; set aside as broken: {data['quarantined']}"
    if data.get("inexact"):
        changed = data["inexact"]
        line += f"; not exact: {', '.join(map(str, changed)) if isinstance(changed, list) else changed}"
    return line, "strong"


def _alert(data: Mapping[str, Any], now: Following) -> Line:
    said = str(data.get("message"))
    if data.get("hint"):
        said += f"{'' if said.endswith(('.', '?', '!')) else '.'} {data['hint']}"
    match data.get("level"):
        case "error":
            return f"{MARKS['error']} {said}", "error"
        case "warning":
            return f"{MARKS['warning']} {said}", "warning"
    return f"{MARKS['info']} {said}", "info"


def _compared(data: Mapping[str, Any], now: Following) -> Line:
    found = Comparison.from_dict(data)
    return f"beside its parent on {found.split}: {found.metric} {found.tell_loss()}", "strong"


_LINES: Mapping[str, Callable[[Mapping[str, Any], Following], Line]] = {
    "status": _status,
    "phase": _phase,
    "plan": _plan,
    "train": _train,
    "eval": _eval,
    "checkpoint": _checkpoint,
    "resume": _resume,
    "alert": _alert,
    "compared": _compared,
}


def _fitting(parts: Iterable[str], spare: Iterable[str]) -> str:
    """Return parts as one line, without as many of `spare`, in their order, as it takes to fit in 80 columns."""
    shown = list(parts)
    for part in spare:
        if len("  ".join(shown)) <= LINE_COLUMNS:
            break
        shown.remove(part)
    return "  ".join(shown)
