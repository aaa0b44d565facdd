"""Watch: one run while it trains and after; how long to go first, then figures, curves, what to do, the last lines."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from hftune.errors import HftuneError
from hftune.runs.state import ACTIVE, RESUMABLE

from ..advice import Advice, advice_of, needs_log
from ..drawing import Words, line
from ..folder import short_name
from ..followed import EventLine, FollowedRun
from ..plotted import SMOOTHINGS, X_KINDS, View, metrics_of, picture_of, title_of
from ..recipe_words import side_lines
from ..run_files import Figures, LogEnd, doubts_of, final_figures, recipe_facts
from ..standing import MARKS, STYLES, lines_of, main_metric, status_of
from ..widgets.finder import Finder
from ..widgets.line_panel import LinePanel, PanelLine
from ..widgets.plot import Plot
from .base import Place

CURVES_SECONDS = 0.25  # curves are looked at, figures are read: those come first
ADVICE_STYLES = {"info": "", "warning": "$warning", "error": "bold $error"}
SIDE_COLUMNS = 32
NO_RUN = "No run to watch.  1 lists the runs, Enter opens one;  /run RECIPE trains a model."
GONE = "This run's folder is not there any more: it was removed or moved.  Esc goes back to the runs."
WORKING_HINTS = (("c", "Chat"), ("x", "Stop"), ("p", "Pause"), ("l", "Log"), ("f", "Filter"))
ENDED_HINTS = (("r", "Resume"), ("c", "Chat"), ("l", "Log"), ("f", "Filter"))
DONE_HINTS = (("c", "Chat"), ("m", "Metric"), ("l", "Log"), ("P", "Push"))


class WatchScreen(Place):
    """The run in front."""

    NAME: ClassVar[str] = "watch"
    TITLE: ClassVar[str] = "watch"
    HINTS: ClassVar[tuple[tuple[str, str], ...]] = WORKING_HINTS
    REFRESH_SECONDS: ClassVar[float] = 0.1
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "chat", "ask its newest checkpoint", id="watch.chat"),
        Binding("enter", "advised", "do what is advised", id="watch.advised"),
        Binding("l", "panel", "its events, or the end of its log", id="watch.panel"),
        Binding("f", "find", "show only lines with a text", id="watch.find"),
        Binding("n", "match(1)", "the next line with the text", id="watch.next"),
        Binding("N", "match(-1)", "the line before with the text", id="watch.previous"),
        Binding("m", "metric", "which figure is plotted", id="watch.metric"),
        Binding("t", "x_axis", "by step, time or tokens", id="watch.x_axis"),
        Binding("y", "log_or_copy", "logarithmic axis; on the lines: copy them", id="watch.log"),
        Binding("s", "smooth(-1)", "smooth less", id="watch.smooth_less"),
        Binding("S", "smooth(1)", "smooth more", id="watch.smooth_more"),
        Binding("j,down", "lines('move', 1)", "a line down", id="watch.down"),
        Binding("k,up", "lines('move', -1)", "a line up", id="watch.up"),
        Binding("pagedown", "lines('page', 1)", "lines further down", id="watch.page_down"),
        Binding("pageup", "lines('page', -1)", "lines further up", id="watch.page_up"),
        Binding("g,home", "lines('top')", "the first line", id="watch.first"),
        Binding("G,end", "lines('bottom')", "the newest line", id="watch.last"),
        Binding("escape", "back", "all lines again; then: back to the runs", id="watch.back"),
    ]
    DEFAULT_CSS = """
    WatchScreen #watch-lines, WatchScreen #watch-advice { height: auto; }
    WatchScreen #watch-middle { height: 1fr; min-height: 3; }
    WatchScreen #watch-side { display: none; width: 34; padding: 0 0 0 1; border-left: solid $panel; }
    WatchScreen #watch-second { display: none; margin-left: 1; }
    WatchScreen LinePanel { height: 6; }
    WatchScreen.-wide #watch-side { display: block; }
    WatchScreen.-wide LinePanel { height: 9; }
    WatchScreen.-widest #watch-second { display: block; }
    WatchScreen.-no-run #watch-middle, WatchScreen.-no-run LinePanel { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._run: FollowedRun | None = None
        self._path: Path | None = None
        self._view = View()
        self._log: LogEnd | None = None
        self._panel = ""  # events or log; empty: what the run's status calls for
        self._advice: Advice | None = None
        self._facts: dict[str, str] = {}
        self._facts_problem = ""
        self._drawn: tuple[object, ...] = ()  # what was true when all was drawn last
        self._curves_due = 0.0
        self._only_words = False  # figures and lines, no curves: what most ticks draw
        self._final: Figures = {}
        self._doubts: list[str] = []
        self._hints: tuple[tuple[str, str], ...] = self.HINTS

    def compose_body(self) -> ComposeResult:
        """Lay it out."""
        yield Words(id="watch-lines")
        with Horizontal(id="watch-middle"):
            with Vertical():
                yield Plot(id="watch-plot")
            yield Plot(id="watch-second")
            yield Words(id="watch-side")
        yield Words(id="watch-advice")
        yield Finder("show only lines with …   Enter keeps that, Esc forgets it")
        yield LinePanel()

    # Which run.

    def arrive(self, **what: Any) -> None:
        """Show `run`; without one the run in front, else the newest."""
        run = what.get("run") or self.app.run_here
        if run is None and self.app.store.rows:
            run = self.app.store.rows[0].path
        if run != self._path:
            self._let_go()
            self._path, self._panel, self._facts, self._facts_problem = run, "", {}, ""
            self._final, self._doubts = {}, []
            self._log = LogEnd(run) if run is not None else None
            self.say("")
            self.query_one(LinePanel).look_for("")
            if run is not None:
                self.app.run_here = run
                self.app.in_background(lambda: _facts_of(run), lambda found: self._keep_facts(run, *found))
        self._follow()

    def _keep_facts(self, run: Path, facts: dict[str, str], problem: str) -> None:
        if run == self._path:
            self._facts, self._facts_problem = facts, problem

    def _follow(self) -> None:
        if self._run is None and self._path is not None:
            self._run = self.app.store.follow(self._path)

    def _let_go(self) -> None:
        if self._run is not None:
            self.app.store.unfollow(self._run.path)
            self._run = None

    def on_screen_suspend(self) -> None:
        self._let_go()

    def on_screen_resume(self) -> None:
        self._follow()

    def run_in_front(self) -> Path | None:
        return self._path or self.app.run_here

    def focus_body(self) -> None:
        self.query_one("#watch-plot", Plot).focus()

    def scroll_transcript(self, pages: int) -> None:
        self.query_one(LinePanel).page(pages)

    def copied(self) -> str:
        return "\n".join(" ".join(part for part in each[:2] if part) for each in self.query_one(LinePanel).lines)

    def breadcrumb(self) -> str:
        if self._path is None:
            return "watch"
        status = self._status
        return f"runs › {short_name(self._path.name)}  {MARKS.get(status, '·')} {status}"

    def status_line(self) -> str:
        state = self._run.state if self._run is not None else None
        share = f"  {100 * state.step // state.total_steps}%" if state is not None and state.total_steps else ""
        return self.breadcrumb() + share

    @property
    def _status(self) -> str:
        run = self._run
        if run is None or (run.state is None and run.loading):
            row = self.app.store.row(self._path) if self._path is not None else None
            return row.status if row is not None else "reading"
        return "gone" if run.state is None and not run.path.is_dir() else status_of(run)

    # What is true now.

    def _tick(self) -> None:
        """Draw figures and lines ten times a second and curves four times, and nothing while nothing changes."""
        run, now = self._run, self.app.monotonic()
        seen: tuple[object, ...] = ()
        if run is not None:
            seen = (run.path, run.version, self._panel, len(self._facts), int(self.app.clock()))
            if seen == self._drawn and not self._shows_log(run):
                return
        self._only_words = now < self._curves_due
        super()._tick()
        if not self._only_words:
            self._curves_due, self._drawn = now + CURVES_SECONDS, seen
        self._only_words = False

    def refresh_place(self) -> None:
        run = self._run
        self.set_class(run is None or self._status == "gone", "-no-run")
        if run is None:
            self._say_words("#watch-lines", line((NO_RUN, "$muted")))
            self._say_words("#watch-advice", Content())
            return
        if self._status == "gone":
            self._say_words("#watch-lines", line((f"{MARKS['gone']} {GONE}", STYLES["gone"])))
            self._say_words("#watch-advice", Content())
            return
        assert self._log is not None
        showing_log = self._shows_log(run)
        if showing_log or needs_log(run):
            self._log.poll()
        if run.state is not None and run.state.status == "done" and not self._final:
            self._final, self._doubts = final_figures(run.path), doubts_of(run.path)
        with run.lock:
            self._show(run, showing_log)

    def _shows_log(self, run: FollowedRun) -> bool:
        return self._panel == "log" or (not self._panel and needs_log(run))

    def _show(self, run: FollowedRun, showing_log: bool) -> None:
        columns, now = self.query_one("#body").content_size.width, self.app.clock()
        assert self._log is not None
        if run.loading and run.loaded < 1.0:
            self._say_words("#watch-lines", line((f"reading its events… {100 * run.loaded:.0f}%", "$muted")))
        else:
            shown = lines_of(run, now, columns, self._final)
            self._say_words("#watch-lines", Content("\n").join([line(*parts) for parts in shown]))
        self._show_lines(run, showing_log)
        if self._only_words:
            return
        self._advice = advice_of(run, self._log.lines, self._facts, self._doubts)
        self._say_words("#watch-advice", _advice_content(self._advice))
        self._show_plots(run)
        if self.has_class("-wide"):
            side = side_lines(run, self._facts, self._facts_problem, SIDE_COLUMNS)
            self._say_words("#watch-side", Content("\n").join([line(*parts) for parts in side]))
        self._show_hints(status_of(run))

    def _show_plots(self, run: FollowedRun) -> None:
        main = main_metric(run)
        metrics = metrics_of(run.series, main)
        view = self._view if self._view.metric in metrics else replace(self._view, metric="loss")
        empty = f"no figures yet ({status_of(run)})"
        plot = self.query_one("#watch-plot", Plot)
        plot.show((run.path, run.version, view), lambda: picture_of(run, view, empty))
        if self.has_class("-widest"):
            other = next((name for name in metrics if name != view.metric and "/" not in name), metrics[-1])
            beside = replace(view, metric="loss" if view.metric != "loss" else other)
            second = self.query_one("#watch-second", Plot)
            second.show((run.path, run.version, beside), lambda: picture_of(run, beside, empty))

    def _show_lines(self, run: FollowedRun, showing_log: bool) -> None:
        panel = self.query_one(LinePanel)
        if showing_log and (log := self._log) is not None:
            key: tuple[object, ...] = ("log", run.path, log.version)
            panel.show(
                key, "log.txt", lambda: [PanelLine("", text) for text in log.lines], "l events", "its log is empty"
            )
        else:
            key = ("events", run.path, len(run.lines), run.lines[-1] if run.lines else None)
            panel.show(key, "events", lambda: [_event_line(each) for each in run.lines], "l log", "no events yet")

    def _show_hints(self, status: str) -> None:
        hints = WORKING_HINTS if status in ACTIVE else ENDED_HINTS if status in RESUMABLE else DONE_HINTS
        if hints != self._hints:
            self._hints = hints
            self.prompt.set_hints(hints)

    def _say_words(self, selector: str, content: Content) -> None:
        self.query_one(selector, Words).say(content)

    # Keys.

    def action_chat(self) -> None:
        from ..jobs import why_not

        run = self._run
        if run is None:
            self.cannot("there is no run to ask")
        elif not run.checkpoints and (why := why_not("chat", run.state, run.path)):
            self.cannot(f"nothing to ask yet: {why}" if run.state and run.state.status in ACTIVE else why)
        else:
            step = self._advice.step if self._advice is not None else None
            self.app.go("chat", run=run.path, **({"step": step} if step is not None else {}))

    def action_advised(self) -> None:
        if self._advice is None or not self._advice.command:
            self.cannot("there is nothing that Enter could do: / gives commands, ? lists the keys")
        else:
            self.app.execute(self._advice.command)

    def action_panel(self) -> None:
        panel = self.query_one(LinePanel)
        self._panel = "events" if panel.title == "log.txt" else "log"
        self.update_now()

    def action_find(self) -> None:
        self.query_one(Finder).open()

    def action_match(self, by: int) -> None:
        panel = self.query_one(LinePanel)
        if not panel.looked_for:
            self.cannot("nothing is looked for: f begins")
        elif not panel.next_match(by):
            self.cannot(f"no line has “{panel.looked_for}” in it")

    @on(Finder.Typed)
    def _typed(self, message: Finder.Typed) -> None:
        message.stop()
        self.query_one(LinePanel).look_for(message.text)
        if message.ended:
            self.query_one(LinePanel).focus()

    def action_metric(self) -> None:
        run = self._run
        if run is None:
            self.cannot("there is no run")
            return
        with run.lock:
            metrics = metrics_of(run.series, main_metric(run))
        if len(metrics) < 2:
            self.cannot("there is no other figure to plot yet")
            return
        place = metrics.index(self._view.metric) if self._view.metric in metrics else 0
        self._look(metric=metrics[(place + 1) % len(metrics)])
        self.say(f"plotted: {title_of(self._view.metric)}")

    def action_x_axis(self) -> None:
        kind = X_KINDS[(X_KINDS.index(self._view.x_kind) + 1) % len(X_KINDS)]
        self._look(x_kind=kind)
        self.say(f"x axis by {kind}" + (" of training" if kind == "time" else ""))

    def action_smooth(self, by: int) -> None:
        place = SMOOTHINGS.index(self._view.smoothing) + by
        if not 0 <= place < len(SMOOTHINGS):
            self.cannot("not smoothed at all already" if by < 0 else "it cannot be smoothed more")
            return
        self._look(smoothing=SMOOTHINGS[place])

    def action_log_or_copy(self) -> None:
        if self.query_one(LinePanel).has_focus:
            self.app.copy(self.copied())
            return
        self._look(log=not self._view.log)
        self.say("logarithmic axis" if self._view.log else "linear axis")

    def action_lines(self, what: str, by: int = 0) -> None:
        panel = self.query_one(LinePanel)
        match what:
            case "move":
                panel.move(by)
            case "page":
                panel.page(by)
            case "top":
                panel.top()
            case _:
                panel.bottom()

    def action_back(self) -> None:
        panel = self.query_one(LinePanel)
        if panel.looked_for:
            panel.look_for("")
        else:
            self.app.go("runs")

    def _look(self, **changes: Any) -> None:
        """Look at the curves in another way."""
        self._view = replace(self._view, **changes)
        self.update_now()


def _facts_of(run: Path) -> tuple[dict[str, str], str]:
    try:
        return recipe_facts(run), ""
    except HftuneError as error:
        return {}, error.message


def _advice_content(advice: Advice | None) -> Content:
    if advice is None:
        return Content()
    keys = f"  {advice.keys}" if advice.keys else ""
    return line((advice.text, ADVICE_STYLES[advice.level]), (keys, "bold"))


def _event_line(each: EventLine) -> PanelLine:
    try:
        clock = time.strftime("%H:%M:%S", time.localtime(each.time))
    except (OverflowError, ValueError, OSError):  # an event file that a hand has edited
        clock = ""
    return PanelLine(clock, each.text, each.level)
