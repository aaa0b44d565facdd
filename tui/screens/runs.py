"""Runs: the list of runs as they are now; with none yet, what one can train first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from hftune.errors import HftuneError
from hftune.figures import duration, many

from ..counts import counted
from ..drawing import Words, line
from ..first_look import FirstLook, measured_seconds
from ..folder import RunRow
from ..followed import FollowedRun
from ..messages import RunOpened
from ..widgets.entries import Entries, Entry
from ..widgets.filter_line import FilterLine
from ..widgets.run_details import details
from ..widgets.run_table import RunTable
from .base import Place

STARTERS = (
    Entry("bert_cls", "Sentiment classifier", "MiniLM BERT · movie reviews", "works without the Hub"),
    Entry("gpt2_gen", "Review writer", "GPT-2 mini · movie reviews", "works without the Hub"),
)
MY_FILE = Entry("file", "My file", "CSV / JSON Lines / Parquet → pick the columns")
FIRST = "No runs yet. Press Enter to train your first model."
ANOTHER = "What to train next. Esc goes back to the list."
NO_LIST = {  # by what is shown in its place: why a key of the list cannot act
    "first": "there are no runs yet",
    "train": "Esc goes back to the list first",
    "reading": "the runs are still being read",
    "problem": "the folder of runs cannot be read",
}
RESTS_SECONDS = 0.3  # the cursor stays on a run: its details are worth reading
KEPT_RECIPES = 100


class RunsScreen(Place):
    """The list with its filter and marks, or the entries that start a first run."""

    NAME: ClassVar[str] = "runs"
    TITLE: ClassVar[str] = "runs"
    HINTS: ClassVar[tuple[tuple[str, str], ...]] = (("t", "Train"), ("f", "Filter"), ("c", "Chat"), ("x", "Stop"))
    REFRESH_SECONDS: ClassVar[float] = 0.1
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "train", "train another model", id="runs.train"),
        Binding("f", "filter", "show only runs with these words", id="runs.filter"),
        Binding("F", "narrow", "all runs, or only those found", id="runs.narrow"),
        Binding("c", "chat", "ask the model of the run", id="runs.chat"),
        Binding("escape", "back", "back to all runs; then: no marks", id="runs.back"),
    ]
    DEFAULT_CSS = """
    RunsScreen #runs-said { height: auto; padding: 0 1; }
    RunsScreen #first-look { height: 1fr; }
    RunsScreen #first-heading { padding: 0 1; margin-bottom: 1; text-style: bold; }
    RunsScreen #first-space { height: 1fr; }
    RunsScreen #first-facts { padding: 0 1; margin-top: 1; }
    RunsScreen #runs-list { height: 1fr; }
    RunsScreen #run-details { display: none; width: 24%; height: 1fr; padding: 0 0 0 1; overflow: hidden; }
    RunsScreen #run-details { border-left: solid $panel; }
    RunsScreen.-widest #run-details { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._view = ""
        self._training = False  # the entries are shown over a list that has runs
        self._look: FirstLook | None = None
        self._recipes_found: int | None = None
        self._seconds: dict[str, float] = {}  # by recipe: how long it took here
        self._followed: FollowedRun | None = None
        self._rests_on: Path | None = None  # the run that the cursor was last seen on
        self._rested = 0.0  # when it was first seen there
        self._recipes: OrderedDict[Path, Mapping[str, str]] = OrderedDict()  # what each says, by dotted key
        self._hints: tuple[tuple[str, str], ...] = self.HINTS

    def compose_body(self) -> ComposeResult:
        """Lay out the list and the entries, of which one is shown."""
        yield Words(id="runs-said")
        with Vertical(id="first-look"):
            yield Words(FIRST, id="first-heading")
            yield Entries((*STARTERS, MY_FILE, self._recipes_entry()))
            yield Words(id="first-space")
            yield Words(id="first-facts")
        yield FilterLine()
        with Horizontal(id="runs-list"):
            yield RunTable()
            yield Words(id="run-details")

    def on_mount(self) -> None:
        self.query_one("#body").styles.padding = 0
        self.query_one(RunTable).share_marks(self.app.marked)
        self._switch("reading")

    # What a place says of itself.

    def breadcrumb(self) -> str:
        return "" if self._view_now() == "first" else self.TITLE

    def run_in_front(self) -> Path | None:
        row = self._row()
        return row.path if row else None

    def copied(self) -> str:
        run = self.run_in_front()
        return str(run) if run else ""

    def focus_body(self) -> None:
        if self._view in ("first", "train"):
            self.query_one(Entries).focus()
        elif self._view == "list":
            self.query_one(RunTable).focus()
        else:
            self.set_focus(None)

    def scroll_transcript(self, pages: int) -> None:
        if self._view == "list":
            self.query_one(RunTable).action_page(pages)

    def status_line(self) -> str:
        return f"hftune · {counted(self.app.store.counts)}"

    def arrive(self, **what: Any) -> None:
        """Show the list; `run` puts the cursor on one."""
        self._training = False
        run = what.get("run") or self.app.run_here
        if run is not None:
            self.query_one(RunTable).select(run)

    # What is true now.

    def refresh_place(self) -> None:
        self._switch(self._view_now())
        self._say_state()
        self._show_list()
        if self._view in ("first", "train"):
            self._show_first_look()

    def _view_now(self) -> str:
        """Return what is to be shown: list, train, first, reading or problem."""
        store = self.app.store
        if store.rows:
            return "train" if self._training else "list"
        if store.folder_problem:
            return "problem"
        return "first" if store.ready else "reading"

    def _switch(self, view: str) -> None:
        """Show another view; the focus goes along unless a person is writing in the prompt."""
        if view == self._view:
            return
        follows = self.focused is None or self.query_one("#body") in self.focused.ancestors
        self._view = view
        entries, lists = self.query_one("#first-look"), self.query_one("#runs-list")
        entries.display = entries.display or view in ("first", "train")
        lists.display = lists.display or view == "list"
        if follows:  # before its widget is hidden: the focus would go to the prompt
            self.focus_body()
        entries.display, lists.display = view in ("first", "train"), view == "list"
        if entries.display:
            self._begin_first_look()

    def _say_state(self) -> None:
        store = self.app.store
        read, known = store.scanned
        said, style = "", "$muted"
        if self._view == "problem":
            said, style = f"✗ {store.folder_problem}", "$error"
        elif not store.ready:
            said = f"reading runs… {read:,} of {known:,}" if known else "reading runs…"
        elif store.problem:
            said, style = f"! reading went wrong and goes on: {store.problem}", "$warning"
        words = self.query_one("#runs-said", Words)
        words.display = bool(said)
        words.say(line((said, style)))

    def _show_list(self) -> None:
        table, marks = self.query_one(RunTable), len(self.app.marked)
        table.show(self.app.store.rows, self.app.clock())
        self.query_one(FilterLine).say(table, shown=self._view == "list")
        self._show_details()
        if self._view in ("first", "train"):
            self._hint((("/", "Commands"),))
        else:
            self._hint((("3", f"Compare {marks}"), *self.HINTS) if marks else self.HINTS)

    def _hint(self, hints: tuple[tuple[str, str], ...]) -> None:
        if hints != self._hints:
            self._hints = hints
            self.prompt.set_hints(hints)

    # The entries.

    def _begin_first_look(self) -> None:
        """Look around in threads: what this machine has, which recipes there are, how long they took here."""
        if self._look is None:
            self._look = FirstLook(self.app.runs_dir)
            self._look.begin()
        if self._recipes_found is None:
            self.app.in_background(lambda: len(self.app.recipes()), self._count_recipes)
        if rows := self.app.store.rows:
            self.app.in_background(lambda: _measured(rows), self._keep_seconds)

    def _count_recipes(self, found: int) -> None:
        self._recipes_found = found

    def _keep_seconds(self, found: dict[str, float]) -> None:
        self._seconds = found

    def _recipes_entry(self) -> Entry:
        found = "" if self._recipes_found is None else f"  ({self._recipes_found} found)"
        return Entry("recipes", "A recipe", f"recipes/*.yaml{found}")

    def _show_first_look(self) -> None:
        starters = [
            Entry(one.name, one.title, one.about, f"took {duration(self._seconds[one.name])} here")
            if one.name in self._seconds
            else one
            for one in STARTERS
        ]
        self.query_one(Entries).show((*starters, MY_FILE, self._recipes_entry()))
        self.query_one("#first-heading", Words).say(FIRST if self._view == "first" else ANOTHER)
        facts = self._look.facts if self._look else ()
        styled = [(f"{fact}  ", "$muted" if fact.well else "$warning") for fact in facts]
        self.query_one("#first-facts", Words).say(line(*styled))

    @on(Entries.Chosen)
    def _chosen(self, message: Entries.Chosen) -> None:
        message.stop()
        match message.entry.name:
            case "recipes":
                self.app.go("recipes")
            case "file":
                self.app.execute("/file")
            case recipe:
                self.app.execute(f"/run {recipe}")

    # The details of the run under the cursor.

    def _show_details(self) -> None:
        panel, row = self.query_one("#run-details", Words), self._row()
        if not self.has_class("-widest") or row is None:
            self._unfollow()
            panel.say("")
            return
        if row.path != self._rests_on:
            self._rests_on, self._rested = row.path, self.app.monotonic()
        if self._followed is not None and self._followed.path != row.path:
            self._unfollow()
        if self._followed is None and self.app.monotonic() - self._rested >= RESTS_SECONDS:
            self._followed = self.app.store.follow(row.path)
            self._read_recipe(row.path)
        panel.say(details(row, self._followed, self._recipes.get(row.path, {}), self.app.clock()))

    def _unfollow(self) -> None:
        if self._followed is not None:
            self.app.store.unfollow(self._followed.path)
            self._followed = None

    def _read_recipe(self, run: Path) -> None:
        if run in self._recipes:
            return
        self._recipes[run] = {}
        while len(self._recipes) > KEPT_RECIPES:
            self._recipes.popitem(last=False)

        def keep(facts: Mapping[str, str]) -> None:
            self._recipes[run] = facts

        self.app.in_background(lambda: _recipe_of(run), keep)

    @on(RunTable.CursorMoved)
    def _cursor_moved(self, message: RunTable.CursorMoved) -> None:
        message.stop()
        self._show_details()

    def on_screen_suspend(self) -> None:
        self._unfollow()

    # Keys.

    def _row(self) -> RunRow | None:
        """Return the row under the cursor, None where no list is shown."""
        return self.query_one(RunTable).current if self._view == "list" else None

    @on(RunOpened)
    def _opened(self, message: RunOpened) -> None:
        message.stop()
        self.app.go("watch", run=message.run)

    @on(RunTable.Refused)
    def _refused(self, message: RunTable.Refused) -> None:
        message.stop()
        self.cannot(message.why)

    def _no_list(self) -> bool:
        """Tell whether there is no list to act on, and say so."""
        if self._view == "list":
            return False
        self.cannot(NO_LIST[self._view])
        return True

    def action_train(self) -> None:
        if self._view == "list":
            self._training = True
            self.update_now()
        elif self._view == "train":
            self.action_back()
        elif self._view == "first":
            self.cannot("Enter does what the arrow points at")
        else:
            self.cannot(NO_LIST[self._view])

    def action_filter(self) -> None:
        if not self._no_list():
            self.query_one(FilterLine).open()

    def action_narrow(self) -> None:
        if self._no_list():
            return
        table = self.query_one(RunTable)
        if not table.looked_for:
            self.cannot("nothing is looked for: f begins")
            return
        table.look_for(table.looked_for, narrow=not table.narrowed)
        self.update_now()

    def action_chat(self) -> None:
        if self._no_list():
            return
        row = self._row()
        if row is None:
            self.cannot("no run is shown")
            return
        from ..jobs import why_not

        if why := why_not("chat", row.state, row.path):
            self.cannot(f"{row.short} cannot be asked: {why}")
        else:
            self.app.go("chat", run=row.path)

    def action_back(self) -> None:
        """Take away what stands between a person and the whole list, the nearest first."""
        table = self.query_one(RunTable)
        if self._training:
            self._training = False
        elif table.looked_for:
            self.query_one(FilterLine).clear()
        elif self.app.marked:
            self.say(f"{many(len(self.app.marked), 'mark')} taken away")
            self.app.marked.clear()
        else:
            self.cannot("this is the first place: q leaves the app")
        self.update_now()

    @on(FilterLine.Changed)
    def _filter_changed(self, message: FilterLine.Changed) -> None:
        message.stop()
        self.query_one(RunTable).look_for(message.text)
        self.update_now()

    @on(FilterLine.Left)
    def _filter_left(self, message: FilterLine.Left) -> None:
        message.stop()
        self.focus_body()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.update_now)


def _recipe_of(run: Path) -> Mapping[str, str]:
    """Return what a run's recipe says, nothing where it cannot be read: Watch says why. For a thread."""
    from ..run_files import recipe_facts

    try:
        return recipe_facts(run)
    except HftuneError:
        return {}


def _measured(rows: Sequence[RunRow]) -> dict[str, float]:
    """Return how long the starters took on this machine, those that have been trained here. For a thread."""
    found = {}
    for entry in STARTERS:
        with suppress(HftuneError):  # a file of that name in this folder that is no recipe: Enter says what is wrong
            if (seconds := measured_seconds(entry.name, rows)) is not None:
                found[entry.name] = seconds
    return found
