"""My file: from a data file to a recipe and a run, walked with arrows and Enter; Esc goes back a step."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from hftune.figures import duration, size
from hftune.recipe.paths import expand

from ..columns import Column, DataFile, Reading, data_files, paths_like
from ..drawing import Part, Words, clip, line, plain, sanitize, spread
from ..file_walk import STEPS, TITLES, Walk, free_name
from ..file_words import colored, details_of
from ..own_recipe import problems, recipe_text, remarks
from ..widgets.picks import Pick, Picks
from .base import SMALLEST

if TYPE_CHECKING:
    from ..app import HftuneApp

POLL_SECONDS = 0.05
REMARKS = 4
FILE_COLUMNS = 16
STEPS_COLUMNS = 78  # that the name of the file and the steps take
LEAST_SAID = 10
TYPE_A_PATH, TRAIN, WRITE, OPEN, RENAME = "a path", "train", "write", "open", "rename"
KEYS = "↑↓ choose   Enter go on   Esc back"


class WrittenLine(Input):
    """A path or a name as it is written; up and down choose among what fits, Tab takes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "screen.move(1)", "next that fits", id="file.down", show=False),
        Binding("up", "screen.move(-1)", "previous that fits", id="file.up", show=False),
        Binding("tab", "screen.complete", "take what fits", id="file.complete", show=False),
    ]


class MyFileScreen(ModalScreen[None]):
    """Asks which file, which columns, what to learn and with which model; shows, writes and trains the recipe.

    `file`: begin with this one. Modes: `file` (a list), `path` (one is written), `reading`, `walk` (the questions),
    `name` (of the recipe's file).
    """

    app: HftuneApp
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back a step", id="file.back", priority=True),
        Binding("f,slash", "type_path", "write the path of a file", id="file.path", show=False),
    ]
    DEFAULT_CSS = """
    MyFileScreen > .my-file { width: 100%; height: 100%; background: $background; padding: 0 1; }
    .my-file WrittenLine { height: 1; border: none; background: $surface; display: none; }
    .my-file #file-recipe { height: 1fr; background: $surface; display: none; }
    .my-file #file-details { height: 6; display: none; }
    .my-file #file-remarks, .my-file #file-notice { height: auto; max-height: 5; display: none; }
    .my-file #file-small { display: none; }
    .my-file.-small > * { display: none !important; }
    .my-file.-small > #file-small { display: block !important; }
    """

    def __init__(self, file: Path | None = None) -> None:
        super().__init__()
        self._mode = "file"
        self._file = file
        self._files: list[DataFile] = []
        self._reading: Reading | None = None
        self._walk: Walk | None = None
        self._named = ""
        self._recipe = ""
        self._moved = False  # among the paths that fit: Enter takes the one under the cursor

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="my-file"):
            yield Words(id="file-small")
            yield Words(id="file-where")
            yield Words(id="file-question")
            yield WrittenLine(compact=True, select_on_focus=False)
            with VerticalScroll(id="file-recipe", can_focus=False):
                yield Words(id="file-text")
            yield Words(id="file-remarks")
            yield Picks()
            yield Words(id="file-details")
            yield Words(id="file-notice")
            yield Words(line((KEYS, "$muted")), id="file-keys")

    def on_mount(self) -> None:
        self._timer = self.set_interval(POLL_SECONDS, self._poll, pause=True)
        if self._file is None:
            self._ask_file()
        else:
            self._read(self._file)

    def on_unmount(self) -> None:
        if self._reading is not None:
            self._reading.stop()

    def on_resize(self, event: events.Resize) -> None:
        small = event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1]
        self.query_one(".my-file").set_class(small, "-small")
        self._words("small").say(f"my file (needs 80x20, this is {event.size.width}x{event.size.height})")

    # Which file.

    def _ask_file(self, problem: str = "") -> None:
        self._files = data_files(Path(), [self.app.runs_dir])
        width = max((len(size(one.bytes)) for one in self._files), default=0)
        picks = [Pick(str(one.path), size(one.bytes).rjust(width), one.path) for one in self._files]
        picks.append(Pick("another file…", "write its path", TYPE_A_PATH))
        here = [one.path for one in self._files]
        place = here.index(self._file) if self._file in here else 0
        found = "Which file?" if self._files else "No data files are in this folder."
        self._show("file", f"{found}  CSV, TSV, JSON Lines, JSON, Parquet or text", picks, place)
        self._say(problem)

    def action_type_path(self) -> None:
        if self._mode == "file":
            self._show("path", "Path of the file?  Tab takes what fits", [])
            self._write("" if self._file is None else str(self._file))

    def _take_path(self, written: str) -> None:
        pick = self._picks.current
        chosen = str(pick.value) if pick is not None else written
        if not self._moved and (expand(written).is_file() or pick is None):
            chosen = written
        if chosen.endswith("/"):
            self._write(chosen)
        elif chosen:
            self._read(Path(chosen))

    def _read(self, file: Path) -> None:
        self._file = file
        if self._walk is not None and self._walk.file != file:
            self._walk = None
        try:
            self._reading = Reading(file)
        except OSError as error:
            self._ask_file(f"no process can be started: {error.strerror}")
            return
        self._began = self.app.monotonic()
        self._show("reading", "", [])
        self._say("")
        self._timer.resume()
        self._poll()

    def _poll(self) -> None:
        reading = self._reading
        if reading is None:
            self._timer.pause()
        elif not reading.over:
            seconds = duration(self.app.monotonic() - self._began)
            said = f"reading {reading.file}…  {seconds}   (hftune columns, a process of its own)"
            self._set_words("question", said)
        elif reading.columns is None:
            self._timer.pause()
            self._ask_file(f"{reading.problem}\n{reading.hint}".strip())
        else:
            self._timer.pause()
            if self._walk is None or self._walk.found != reading.columns:
                self._walk = Walk(reading.file, reading.columns)
                self._named = free_name(reading.file, Path())
            self._ask()

    # The questions.

    def _ask(self) -> None:
        walk = self._walk
        assert walk is not None
        if walk.step == "recipe":
            self._show_recipe(walk)
            return
        picks = walk.picks()
        self._show("walk", walk.question(), picks, walk.place(picks))
        self._say(walk.cannot())

    def _show_recipe(self, walk: Walk) -> None:
        choices = walk.choices()
        target = Path(self._named)
        self._recipe = recipe_text(walk.found, choices, walk.file, target.parent)
        wrong = problems(self._recipe, self._named, target.parent)
        actions = [
            Pick("Train", f"write {self._named} and run it", TRAIN, wrong),
            Pick("Write", f"write {self._named} and go back", WRITE),
            Pick("Open", f"write {self._named} and open it in Recipes", OPEN),
            Pick("Another name", self._named, RENAME),
        ]
        self._show("walk", "", actions)
        self._words("text").say(colored(self._recipe))
        self.query_one("#file-recipe", VerticalScroll).scroll_home(animate=False)
        said = remarks(walk.found, choices)
        shown = [*said[:REMARKS], *(["and more: hftune check tells all"] if said[REMARKS:] else [])]
        self._set_words("remarks", Content("\n").join(line(("! ", "$warning"), text) for text in shown))
        self._say(wrong)

    @on(Picks.Picked)
    def _picked(self, message: Picks.Picked) -> None:
        message.stop()
        value = message.pick.value
        if message.pick.why_not:
            self._say(message.pick.why_not)
        elif self._mode == "path":
            self._take_path(self._written.value)
        elif self._mode == "file":
            self.action_type_path() if value == TYPE_A_PATH else self._read(value)
        elif self._mode == "walk" and self._walk is not None:
            if self._walk.step == "recipe":
                self._act(str(value))
            elif not (why := self._walk.cannot()):
                self._walk.choose(value)
                self._ask()
            else:
                self._say(why)

    def _act(self, what: str) -> None:
        if what == RENAME:
            self._show("name", "Name of the recipe's file?", [])
            self._write(self._named)
            return
        assert self._walk is not None
        if not self._walk.file.is_file():
            self._say(f"{self._walk.file} is no longer there")
            return
        if Path(self._named).exists():
            question = f"Replace {sanitize(self._named)}?\nWhat is in it now is lost."
            self.app.ask_confirm(question, "Replace it", lambda: self._finish(what, replace=True))
        else:
            self._finish(what)

    def _finish(self, what: str, replace: bool = False) -> None:
        """Write the recipe and go where it was asked to."""
        path = Path(self._named)
        try:
            with path.open("w" if replace else "x", encoding="utf-8") as file:
                file.write(self._recipe)
        except (OSError, ValueError) as error:
            self._say(f"{self._named} cannot be written: {getattr(error, 'strerror', None) or error}")
            return
        app = self.app
        app.in_background(lambda: app.recipes(anew=True))
        self.dismiss(None)
        if what == TRAIN:
            app.call_later(app.execute, f"/run {shlex.quote(self._named)}")
        elif what == OPEN:
            app.call_later(app.go, "recipes", recipe=path)
        else:
            app.place.say(f"wrote {self._named}: /run {shlex.quote(self._named)} trains it")

    # What is written.

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._moved = False
        if self._mode == "path":
            self._picks.show([Pick(path, "", path) for path in paths_like(event.value)])

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._mode == "path":
            self._take_path(event.value.strip())
        elif self._mode == "name":
            self._take_name(event.value.strip())

    def _take_name(self, name: str) -> None:
        name = name if name.endswith((".yaml", ".yml")) else name + ".yaml"
        folder = expand(name).parent
        if name == ".yaml" or "\0" in name:
            self._say("the file needs a name")
        elif not folder.is_dir():
            self._say(f"there is no folder {folder}")
        else:
            self._named = str(expand(name))
            self._ask()

    def action_move(self, by: int) -> None:
        self._moved = True
        self._picks.action_move(by)

    def action_complete(self) -> None:
        if self._mode == "path" and self._picks.current is not None:
            self._write(str(self._picks.current.value))

    def action_back(self) -> None:
        self._say("")
        if self._mode == "path":
            self._ask_file()
        elif self._mode == "name":
            self._ask()
        elif self._mode == "reading":
            if self._reading is not None:
                self._reading.stop()
                self._reading = None
            self._ask_file()
        elif self._mode == "walk" and self._walk is not None:
            self._ask() if self._walk.back() else self._ask_file()
        else:
            self.dismiss(None)

    # How it is shown.

    @property
    def _picks(self) -> Picks:
        return self.query_one(Picks)

    @property
    def _written(self) -> WrittenLine:
        return self.query_one(WrittenLine)

    def _words(self, name: str) -> Words:
        return self.query_one(f"#file-{name}", Words)

    def _set_words(self, name: str, text: str | Content) -> None:
        self._words(name).say(text)
        self._words(name).display = bool(str(text))

    def _say(self, text: str) -> None:
        self._set_words("notice", line(("✗ ", "bold $error")) + plain(text) if text else "")

    def _show(self, mode: str, question: str, picks: list[Pick], place: int = 0) -> None:
        """Show a step: what is asked, and the lines that answer it."""
        self._mode = mode
        recipe = mode == "walk" and self._walk is not None and self._walk.step == "recipe"
        self._words("where").say(spread(self._where(), [(self._said(), "$muted")], max(1, self.size.width - 2)))
        self._set_words("question", question)
        self._set_words("remarks", "")
        self.query_one("#file-recipe").display = recipe
        self._picks.styles.height = "auto" if recipe else "1fr"
        self._written.display = mode in ("path", "name")
        keys = (
            f"{KEYS}   PgUp PgDn read the recipe" if recipe else f"{KEYS}   f write a path" if mode == "file" else KEYS
        )
        self._words("keys").say(line((keys, "$muted")))
        self._picks.show(picks, place)
        (self._written if mode in ("path", "name") else self._picks).focus()

    def _where(self) -> Iterator[Part]:
        """Yield the steps, the one that is asked marked."""
        yield " My file ", "bold $primary"
        if self._mode in ("file", "path", "reading") or self._walk is None:
            return
        yield f" {clip(sanitize(self._walk.file.name), FILE_COLUMNS)} ", "bold"
        for step in STEPS:
            here = step == self._walk.step
            yield " › ", "$muted"
            yield f"[{TITLES[step]}]" if here else TITLES[step], "bold $primary" if here else "$muted"

    def _said(self) -> str:
        """Return the answers so far, as much as there is room for beside the steps."""
        room = self.size.width - STEPS_COLUMNS
        return clip(sanitize(self._walk.said()), room) if self._walk is not None and room >= LEAST_SAID else ""

    def _write(self, text: str) -> None:
        self._written.value = text
        self._written.cursor_position = len(text)

    @on(Picks.Moved)
    def _show_details(self, message: Picks.Moved) -> None:
        message.stop()
        column = message.pick.value if message.pick is not None else None
        if isinstance(column, tuple) and self._walk is not None:
            column = self._walk.found.named(column[1])
        questions = self._mode == "walk" and self._walk is not None and self._walk.step not in ("model", "recipe")
        self._words("details").display = questions
        if questions:
            self._words("details").say(details_of(column, self.size.width - 4) if isinstance(column, Column) else "")

    @on(Picks.Paged)
    def _scroll(self, message: Picks.Paged) -> None:
        message.stop()
        box = self.query_one("#file-recipe", VerticalScroll)
        box.scroll_relative(y=message.pages * max(1, box.size.height - 1), animate=False)
