"""Compare: curves of several runs over each other, their figures, and what their recipes do not have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from hftune.errors import HftuneError
from hftune.figures import many

from ..compared import (
    LETTERS,
    MOST,
    TRAIN_LOSS,
    curve_for,
    different_metrics,
    figures_of,
    key_lines,
    metrics_of,
    picture_of,
    table,
    title_of,
)  # fmt: skip
from ..curves import Curve, Picture
from ..drawing import Part, Words, line
from ..folder import short_name
from ..followed import FollowedRun
from ..plotted import SMOOTHINGS, X_KINDS, View
from ..run_files import recipe_facts
from ..standing import main_metric, status_of
from ..widgets.line_panel import LinePanel, PanelLine
from ..widgets.plot import Plot
from .base import Place

NONE = "Nothing to compare yet.  1 lists the runs, Space marks some, 3 lays them over each other;  or /compare RUN RUN."
ONE = "Only one run is marked: Space on others in the list (1) lays them over it."
KEY_ROWS = 6


class CompareScreen(Place):
    """The marked runs."""

    NAME: ClassVar[str] = "compare"
    TITLE: ClassVar[str] = "compare"
    HINTS: ClassVar[tuple[tuple[str, str], ...]] = (
        ("m", "Metric"), ("t", "Axis"), ("b", "Baseline"), ("Space", "Unmark"),
    )  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "the next run", id="compare.down"),
        Binding("k,up", "move(-1)", "the run before", id="compare.up"),
        Binding("enter", "open", "watch the run", id="compare.open"),
        Binding("c", "chat", "ask the model of the run", id="compare.chat"),
        Binding("space", "unmark", "leave the run out", id="compare.unmark"),
        Binding("b", "baseline", "say how others differ from this run; again: no more", id="compare.baseline"),
        Binding("m", "metric", "which figure is plotted", id="compare.metric"),
        Binding("t", "x_axis", "by step, time or tokens", id="compare.x_axis"),
        Binding("y", "log", "logarithmic axis", id="compare.log"),
        Binding("s", "smooth(-1)", "smooth less", id="compare.smooth_less"),
        Binding("S", "smooth(1)", "smooth more", id="compare.smooth_more"),
        Binding("pagedown", "keys(1)", "more keys that differ", id="compare.page_down"),
        Binding("pageup", "keys(-1)", "keys before", id="compare.page_up"),
        Binding("escape", "back", "back to the runs", id="compare.back"),
    ]
    DEFAULT_CSS = """
    CompareScreen #compare-table, CompareScreen #compare-said { height: auto; }
    CompareScreen Plot { min-height: 5; }
    CompareScreen.-wide LinePanel { dock: right; width: 44; padding: 0 0 0 1; border-left: solid $panel; }
    CompareScreen.-empty Plot, CompareScreen.-empty LinePanel { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._given: list[Path] = []  # those that a command named
        self._paths: list[Path] = []
        self._runs: list[FollowedRun] = []
        self._facts: dict[Path, tuple[dict[str, str], str]] = {}  # keys of the recipe; else why it cannot be read
        self._here: Path | None = None
        self._baseline: Path | None = None
        self._view = View(metric=TRAIN_LOSS)

    def compose_body(self) -> ComposeResult:
        """Lay it out."""
        yield Plot(id="compare-plot")
        yield Words(id="compare-table")
        yield Words(id="compare-said")
        yield LinePanel()

    # Which runs.

    def arrive(self, **what: Any) -> None:
        """Show `runs`; without them the marked ones, else those shown last."""
        if what.get("runs"):
            self._given = list(dict.fromkeys(what["runs"]))
        elif self.app.marked:
            self._given = []
        self._compare(self._given or list(self.app.marked))

    def _compare(self, paths: Sequence[Path]) -> None:
        """Show these runs."""
        self._let_go()
        self._paths = list(paths)
        if self._here not in self._paths:
            self._here = self._paths[0] if self._paths else None
        if self._baseline not in self._paths:
            self._baseline = None
        self._follow()
        for path in self._paths[:MOST]:
            self._read_recipe(path)

    def _read_recipe(self, path: Path) -> None:
        self.app.in_background(lambda: _facts_of(path), lambda found: self._facts.update({path: found}))

    def _follow(self) -> None:
        if not self._runs:
            self._runs = [self.app.store.follow(path) for path in self._paths[:MOST]]

    def _let_go(self) -> None:
        for run in self._runs:
            self.app.store.unfollow(run.path)
        self._runs = []

    def on_screen_suspend(self) -> None:
        self._let_go()

    def on_screen_resume(self) -> None:
        self._follow()

    def run_in_front(self) -> Path | None:
        return self._here or self.app.run_here

    def focus_body(self) -> None:
        self.query_one(Plot).focus()

    def scroll_transcript(self, pages: int) -> None:
        self.query_one(LinePanel).page(pages)

    def copied(self) -> str:
        return "\n".join(each.text for each in self.query_one(LinePanel).lines)

    def breadcrumb(self) -> str:
        names = [f"{letter} {short_name(path.name)}" for letter, path in zip(LETTERS, self._paths, strict=False)]
        shown = " · ".join(names) if len(names) < 3 else many(len(self._paths), "run")
        return f"compare › {shown}" if names else "compare"

    # What is true now.

    def refresh_place(self) -> None:
        self.set_class(not self._runs, "-empty")
        if not self._runs:
            self.query_one("#compare-table", Words).say(line((NONE, "$muted")))
            self.query_one("#compare-said", Words).say("")
            return
        here = self._paths.index(self._here) if self._here in self._paths else 0
        baseline = self._paths.index(self._baseline) if self._baseline in self._paths[:MOST] else None
        figures, loading = [], []
        for run in self._runs:
            with run.lock:
                figures.append(figures_of(run, _status(run)))
                loading += [run] if run.loading and run.loaded < 1 else []
        columns = self.query_one("#compare-table", Words).size.width or self.query_one("#body").content_size.width
        rows = table(figures, here, baseline, columns)
        self.query_one("#compare-table", Words).say(Content("\n").join([line(*row) for row in rows]))
        said: list[Part] = [
            (f"{len(self._runs)} of {len(self._paths)} runs are shown: Space leaves one out", "$warning")
        ]
        said = said if len(self._paths) > MOST else []
        said += [(f"reading the events of {many(len(loading), 'run')}…", "$muted")] if loading else []
        said += [(words, "$warning")] if (words := different_metrics(figures)) else []
        said += [(ONE, "$muted")] if len(self._paths) == 1 else []
        self.query_one("#compare-said", Words).say(Content("\n").join([line(part) for part in said]))
        self._show_plot()
        self._show_keys()

    def _show_plot(self) -> None:
        view, runs = self._view, list(self._runs)
        key = (tuple((run.path, run.version) for run in runs), view)

        def make() -> Picture:
            curves: list[Curve | None] = []
            for place, run in enumerate(runs):
                with run.lock:
                    curves.append(curve_for(run, place, view))
            return picture_of(curves, view)

        self.query_one(Plot).show(key, make)

    def _show_keys(self) -> None:
        panel, paths = self.query_one(LinePanel), self._paths[:MOST]
        found = {letter: self._facts[path] for letter, path in zip(LETTERS, paths, strict=False) if path in self._facts}
        lines = [PanelLine("", f"{letter}: {why}", "error") for letter, (_, why) in found.items() if why]
        empty = "reading the recipes…"
        if len(found) == len(paths):
            lines += [
                PanelLine("", text) for text in key_lines({at: facts for at, (facts, why) in found.items() if not why})
            ]
            empty = "their recipes are alike" if len(paths) > 1 else "one recipe differs from nothing"
        panel.styles.height = "100%" if self.has_class("-wide") else min(KEY_ROWS, max(1, len(lines)) + 1)
        if panel.show((tuple(lines), empty), "recipe keys that differ", lambda: lines, "", empty):
            panel.top()

    # Keys.

    def action_move(self, by: int) -> None:
        shown = self._paths[:MOST]
        if shown:
            place = shown.index(self._here) if self._here in shown else 0
            self._here = shown[max(0, min(place + by, len(shown) - 1))]
            self.update_now()

    def action_open(self) -> None:
        if self._here is None:
            self.cannot("there is no run to open: 1 lists the runs")
        else:
            self.app.go("watch", run=self._here)

    def action_chat(self) -> None:
        from ..jobs import why_not

        run = next((run for run in self._runs if run.path == self._here), None)
        if run is None:
            self.cannot("there is no run to ask")
        elif why := why_not("chat", run.state, run.path):
            self.cannot(why)
        else:
            self.app.go("chat", run=run.path)

    def action_unmark(self) -> None:
        if self._here is None:
            self.cannot("there is no run to leave out")
            return
        place = self._paths.index(self._here)
        self.app.marked.pop(self._here, None)
        rest = [path for path in self._paths if path != self._here]
        self._given = [path for path in self._given if path != self._here]
        self._here = rest[min(place, len(rest) - 1)] if rest else None
        self._compare(rest)
        self.update_now()

    def action_baseline(self) -> None:
        if len(self._paths) < 2:
            self.cannot("a baseline needs a second run")
            return
        self._baseline = None if self._baseline == self._here else self._here
        self.update_now()

    def action_metric(self) -> None:
        names, main = set[str](), []
        for run in self._runs:
            with run.lock:
                names |= set(run.series)
                main.append(main_metric(run))
        metrics = metrics_of(names, main)
        if len(metrics) < 2:
            self.cannot("there is no other figure to plot yet")
            return
        place = metrics.index(self._view.metric) if self._view.metric in metrics else -1
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

    def action_log(self) -> None:
        self._look(log=not self._view.log)
        self.say("logarithmic axis" if self._view.log else "linear axis")

    def action_keys(self, pages: int) -> None:
        self.query_one(LinePanel).page(pages)

    def action_back(self) -> None:
        self.app.go("runs")

    def _look(self, **changes: Any) -> None:
        self._view = replace(self._view, **changes)
        self.update_now()


def _facts_of(run: Path) -> tuple[dict[str, str], str]:
    try:
        return recipe_facts(run), ""
    except HftuneError as error:
        return {}, error.message


def _status(run: FollowedRun) -> str:
    if run.state is None and run.loading:
        return "reading"
    return "gone" if run.state is None and not run.path.is_dir() else status_of(run)
