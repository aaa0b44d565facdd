"""A run as a person follows it: a live block on a terminal, plain lines anywhere else.

It is fed with events, by the run itself and by `watch`.
Text from data, models and recipes is sanitized and never read as markup.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from textwrap import fill
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from hftune.figures import duration, figure, size
from hftune.runs.events import Event
from hftune.runs.following import (
    LINE_COLUMNS,
    MARKS,
    Following,
    Level,
    headline_metrics,
    line_of,
    speed,
    train_figures,
    whole,
)  # fmt: skip
from hftune.sanitize import sanitize

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

REFRESH_PER_SECOND = 4
# A step can take a millisecond: a plain line for each would be a flood, also when a finished run is replayed.
PLAIN_TRAIN_SECONDS = 1.0
STYLES: Mapping[Level, str] = {"error": "bold red", "warning": "yellow", "quiet": "dim", "strong": "bold"}


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
        line, level = line_of(event, self.following)
        if event.kind == "train" and (self._live or not self._due(event)):
            return
        if line and line != self._last_line:
            self._last_line = line
            self.say(line, STYLES.get(level, ""))

    def say(self, line: str, style: str = "") -> None:
        """Print one line above what is live."""
        if self._console is not None and self._live is not None:
            from rich.text import Text

            self._console.print(Text(line, style=style))
        else:
            wrapped = fill(line, LINE_COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
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
        timing = now.timing
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
        return "  ".join([*train_figures(self.following.metrics), *speed(self.following.timing)])

    def _evaluated(self) -> str:
        now = self.following
        if not now.evaluation:
            return ""
        text = "  ".join([str(now.evaluation.get("split", "")), *headline_metrics(now.evaluation, now)])
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


class QuietDisplay(Display):
    """A run of many: live where there is a terminal, but only what a person must know stays, and once."""

    def __init__(self, stream: Any, name: str, live: bool | None, told: set[str]) -> None:
        super().__init__(stream, name, live)
        self._said = told

    def say(self, line: str, style: str = "") -> None:
        marked = line.startswith((MARKS["error"], MARKS["warning"], "going on"))
        if line == self.stopping or (marked and line not in self._said):
            self._said.add(line)
            super().say(line, style)


def can_live(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal whose lines can be painted over."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def _progress(progress: Mapping[str, Any]) -> tuple[int, int]:
    return whole(progress.get("done")), whole(progress.get("total"))


def _cropped(line: str) -> Text:
    from rich.text import Text

    return Text(line, no_wrap=True, overflow="ellipsis")
