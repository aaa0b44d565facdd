"""A run as a person follows it: a live block on a terminal, plain lines anywhere else.

It is fed with events, by the run itself and by `watch`.
Text from data, models and recipes is sanitized and never read as markup.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from textwrap import fill
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from hftune.figures import count, duration, figure, many, size
from hftune.runs.events import Event
from hftune.runs.state import ACTIVE
from hftune.sanitize import sanitize

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

REFRESH_PER_SECOND = 4
# A step can take a millisecond: a plain line for each would be a flood, also when a finished run is replayed.
PLAIN_TRAIN_SECONDS = 1.0
SHOWN_METRICS = 3
PLAIN_WIDTH = 80
MARKS = {"error": "✗", "warning": "!", "info": "·"}
STYLES = {"error": "bold red", "warning": "yellow", "info": ""}


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
        return _int(self.train.get("step"))

    @property
    def total(self) -> int:
        return _int(self.plan.get("total_steps"))


class Display:
    """Shows events on `stream`; `live` None: live when it is a terminal that can do it."""

    def __init__(self, stream: TextIO, name: str, live: bool | None = None) -> None:
        self.following = Following()
        self.stopping = ""  # said by a signal handler, which must not print
        self._stream = stream
        self._name = sanitize(name)
        self._is_live = can_live(stream) if live is None else live
        self._console: Console | None = None
        self._live: Live | None = None
        self._last_line = self._told = ""
        self._last_train = -PLAIN_TRAIN_SECONDS

    def __enter__(self) -> Self:
        if self._is_live:
            from rich.console import Console
            from rich.live import Live

            self._console = Console(file=self._stream, highlight=False, markup=False, emoji=False, force_terminal=True)
            self._live = Live(
                get_renderable=self.render, console=self._console, refresh_per_second=REFRESH_PER_SECOND,
                transient=True, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def feed(self, event: Event) -> None:
        """Take in one event and print the line that stays of it, if any."""
        if self._live is None and self.stopping != self._told:
            self._told = self.stopping
            self.say(self.stopping)
        self.following.take(event)
        try:
            line, style = line_of(event, self.following)
        except (TypeError, ValueError, AttributeError):
            return  # a field of a newer version, or of a hand that edited the file
        if event.kind == "train" and (self._live or not self._due(event)):
            return
        if line and line != self._last_line:
            self._last_line = line
            self.say(line, style)

    def say(self, line: str, style: str = "") -> None:
        """Print one line above what is live."""
        if self._console is not None and self._live is not None:
            from rich.text import Text

            self._console.print(Text(line, style=style))
        else:
            wrapped = fill(line, PLAIN_WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            print(wrapped, file=self._stream, flush=True)

    def render(self) -> RenderableType:
        """Return the live block, at most four lines that fit in 80 columns."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = self.following
        done, total = (now.step, now.total) if now.total and not now.progress else _progress(now.progress)
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_row(
            ProgressBar(total=total or None, completed=done, pulse=not total),
            Text(self._amount(done, total)),
        )
        lines: list[RenderableType] = [_cropped(self._headline()), bar]
        lines += [_cropped(line) for line in (self._figures(), self._evaluated()) if line]
        return Group(*lines)

    def _headline(self) -> str:
        now = self.following
        timing = now.train.get("timing") or {}
        parts = [now.status if not now.phase or now.phase == now.status else f"{now.status}: {sanitize(now.phase)}"]
        if now.status == "queued" and now.reason:
            parts.append(sanitize(now.reason))
        if now.status == "training" and timing.get("eta_seconds") is not None:
            error = timing.get("eta_error_seconds")
            parts.insert(0, f"ETA {duration(timing['eta_seconds'])}" + (f" ±{duration(error)}" if error else ""))
        if self.stopping:
            parts.insert(0, self.stopping)
        return "  ".join([*parts, self._name])

    def _amount(self, done: int, total: int) -> str:
        now = self.following
        if now.progress:
            unit = sanitize(now.progress.get("unit") or "")
            shown = (size(done), size(total)) if unit == "bytes" else (f"{done:,}", f"{total:,} {unit}")
            return f"{shown[0]}/{shown[1]}" if total else shown[0]
        if not total:
            return ""
        epoch = now.train.get("epoch")
        epochs = f"  epoch {figure(round(float(epoch), 2))}/{figure(now.plan.get('num_train_epochs'))}" if epoch else ""
        return f"{100 * done // total}%  step {done:,}/{total:,}{epochs}"

    def _figures(self) -> str:
        values, timing = self.following.train.get("metrics") or {}, self.following.train.get("timing") or {}
        return "  ".join([*_train_figures(values), *_speed(timing)])

    def _evaluated(self) -> str:
        now = self.following
        if not now.evaluation:
            return ""
        text = "  ".join([str(now.evaluation.get("split", "")), *_headline_metrics(now.evaluation, now)])
        if now.best:
            text += f"  (best {figure(now.best.get('value'))} at {now.best.get('step')})"
        return sanitize(text)

    def _due(self, event: Event) -> bool:
        """Tell whether a plain train line is due: a second after the last, and at the very end."""
        last = self.following.total > 0 and self.following.step >= self.following.total
        if event.time - self._last_train < PLAIN_TRAIN_SECONDS and not last:
            return False
        self._last_train = event.time
        return True


def can_live(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal whose lines can be painted over."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def line_of(event: Event, now: Following) -> tuple[str, str]:
    """Return the line that stays of an event and its style; an empty line for none."""
    maker = _LINES.get(event.kind)
    line, style = maker(event.data, now) if maker else ("", "")
    return sanitize(line), style


def _status(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    # A status without a reason goes with a phase; that a run has ended is said by the last words about it.
    told = data.get("reason") and data["status"] in ACTIVE
    return (f"{data['status']}: {data['reason']}" if told else ""), "dim"


def _phase(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    if data.get("phase") in ("", None, "training", "evaluating", "saving", "queued"):
        return "", ""  # other lines say it
    return str(data.get("detail") or data["phase"]), "dim"


def _plan(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    trained, parameters = data.get("trainable_parameters"), data.get("parameters")
    share = f" ({count(trained)} trained)" if trained != parameters else ""
    processes = f" x {data['processes']}" if _int(data.get("processes")) > 1 else ""
    return (
        f"plan: {many(_int(data.get('total_steps')), 'step')}, {many(data.get('num_train_epochs'), 'epoch')} of "
        f"{many(_int(data.get('train_examples')), 'example')}, {count(parameters)} parameters{share}, "
        f"{data.get('device')}{processes} {data.get('precision')}, {many(data.get('threads'), 'thread')}"
    ), ""


def _train(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    timing = data.get("timing") or {}
    figures, speed = _train_figures(data.get("metrics") or {}), _speed(timing)
    left = [f"ETA {duration(timing['eta_seconds'])}"] if timing.get("eta_seconds") is not None else []
    parts = [f"step {now.step:,}/{now.total:,}", *figures, *speed, *left]
    return _fitting(parts, [*reversed(speed), *reversed(figures[1:])]), ""


def _eval(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    seconds = (data.get("timing") or {}).get("seconds")
    took = [duration(seconds)] if seconds is not None else []
    examples, values = many(_int(data.get("examples")), "example"), _headline_metrics(data, now)
    parts = [f"eval  step {_int(data.get('step')):,}", str(data.get("split")), *values, examples, *took]
    return _fitting(parts, [examples, *values[2:], *took, *values[1:2]]), "bold"


def _headline_metrics(data: Mapping[str, Any], now: Following) -> list[str]:
    """Return the metric that picks the best model, the loss, and one more: what fits on a line."""
    values = data.get("metrics") or {}
    names = list(dict.fromkeys([str(now.plan.get("metric")), "loss", *values]))
    return [f"{name} {figure(values[name])}" for name in names if name in values][:SHOWN_METRICS]


def _fitting(parts: Iterable[str], spare: Iterable[str]) -> str:
    """Return parts as one line, without as many of `spare`, in their order, as it takes to fit in 80 columns."""
    shown = list(parts)
    for part in spare:
        if len("  ".join(shown)) <= PLAIN_WIDTH:
            break
        shown.remove(part)
    return "  ".join(shown)


def _checkpoint(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    took = f", {duration(data['seconds'])}" if data.get("seconds") is not None else ""
    return f"saved step {_int(data.get('step')):,}  ({size(data.get('bytes'))}{took})", "dim"


def _resume(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    line = f"going on after step {_int(data.get('step')):,}"
    if data.get("quarantined"):
        line += f"; set aside as broken: {data['quarantined']}"
    if data.get("inexact"):
        changed = data["inexact"]
        line += f"; not exact: {', '.join(map(str, changed)) if isinstance(changed, list) else changed}"
    return line, "bold"


def _alert(data: Mapping[str, Any], now: Following) -> tuple[str, str]:
    level = str(data.get("level") or "info")
    said = str(data.get("message"))
    if data.get("hint"):
        said += f"{'' if said.endswith(('.', '?', '!')) else '.'} {data['hint']}"
    return f"{MARKS.get(level, '·')} {said}", STYLES.get(level, "")


_LINES = {
    "status": _status,
    "phase": _phase,
    "plan": _plan,
    "train": _train,
    "eval": _eval,
    "checkpoint": _checkpoint,
    "resume": _resume,
    "alert": _alert,
}


def _train_figures(values: Mapping[str, Any]) -> list[str]:
    shown = [("loss", "loss", ".4f"), ("learning_rate", "lr", ".2g"), ("grad_norm", "grad", ".3g")]
    return [
        f"{label} {format(values[name], form) if isinstance(values[name], float | int) else 'nan'}"
        for name, label, form in shown
        if name in values
    ]


def _speed(timing: Mapping[str, Any]) -> list[str]:
    parts = []
    if (tokens := timing.get("tokens_per_second")) is not None:
        parts.append(f"{tokens:,.0f} tok/s")
    if timing.get("memory_bytes"):
        parts.append(size(timing["memory_bytes"]))
    return parts


def _progress(progress: Mapping[str, Any]) -> tuple[int, int]:
    return _int(progress.get("done")), _int(progress.get("total"))


def _int(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and value == value else 0


def _cropped(line: str) -> Text:
    from rich.text import Text

    return Text(line, no_wrap=True, overflow="ellipsis")
