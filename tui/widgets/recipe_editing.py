"""A recipe being edited: its name and whether it is saved, the editor, below it what is offered or what is wrong."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from hftune.errors import HftuneError, Problem
from hftune.figures import many

from ..drawing import Words, clip, columns_of, line, pad, plain, sanitize, spread
from ..recipe_file import RecipeFile, own_name, save, save_as
from ..recipe_text import base_of, help_at, hint_at, problems, said
from ..screens.dialogs import Reading
from ..screens.recipe_dialogs import AskName, Choose, EstimateScreen, ShortForm, leaving_entries
from .recipe_editor import RecipeEditor, word_end

if TYPE_CHECKING:
    from ..app import HftuneApp
    from ..screens.base import Place

REST_SECONDS = 0.15  # nothing was typed for so long: what there is is judged
SHOWN = 5
KEYS = "Tab complete · F1 help · F2 short form · ^S save · ^T estimate · ^R launch"


class RecipeEditing(Vertical):
    """`load` a file, and it is edited; what is done with it is told to the place it is in."""

    app: HftuneApp  # type: ignore[assignment, unused-ignore]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "save", id="editing.save"),
        Binding("ctrl+r", "launch", "train it in the background", id="editing.launch"),
        Binding("ctrl+t", "estimate", "time and memory: trains a few steps", id="editing.estimate"),
        Binding("f1", "help", "what the key at the cursor is for", id="editing.help"),
        Binding("f2", "form", "the common keys in a short form", id="editing.form"),
        Binding("f8", "next_problem", "go to the next problem", id="editing.next_problem"),
    ]
    DEFAULT_CSS = """
    RecipeEditing { height: 1fr; }
    RecipeEditing #editing-title { height: 1; }
    RecipeEditing RecipeEditor { height: 1fr; }
    RecipeEditing #editing-panel { height: auto; max-height: 7; background: $surface; padding: 0 1; }
    """

    class Closed(Message):
        """Nothing is edited any more."""

    class Saved(Message):
        """There is a file more, or another content in one."""

    def __init__(self) -> None:
        super().__init__()
        self.file: RecipeFile | None = None
        self.problems: list[Problem] | None = None  # None: not judged yet
        self._judged = ""  # the text that `problems` are of
        self._timer: Timer | None = None
        self._disk = "same"
        self._will_show = False

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Words(id="editing-title")
        yield RecipeEditor()
        yield Words(id="editing-panel")

    @property
    def editor(self) -> RecipeEditor:
        """The text that is edited."""
        return self.query_one(RecipeEditor)

    @property
    def place(self) -> Place:
        """The place that says things."""
        return self.screen  # type: ignore[return-value]

    @property
    def changed(self) -> bool:
        """Whether there is something that is not saved."""
        return self.file is not None and (self.file.cleaned or self.editor.text != self.file.text)

    # Opening, judging.

    def load(self, file: RecipeFile) -> None:
        """Edit this file from now on."""
        self.file, self.problems, self._judged, self._disk = file, None, "", "same"
        self.editor.folder = base_of(file.path)
        self.editor.load_text(file.text)
        self.editor.mark(())
        self.judge()
        self.show()
        if file.cleaned:
            self.place.say("control characters were taken out of it; the file still has them", "warning")

    @on(TextArea.Changed)
    def _text_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(REST_SECONDS, self.judge)
        self._show_soon()

    @on(TextArea.SelectionChanged)
    def _cursor_moved(self, event: TextArea.SelectionChanged) -> None:
        event.stop()
        self._show_soon()

    def judge(self) -> None:
        """Find what is wrong with the text as it is now, in a thread."""
        if self.file is None:
            return
        text, path = self.editor.text, self.file.path

        def judged(found: list[Problem]) -> None:
            if self.file is not None and self.file.path == path and self.editor.text == text:
                self.problems, self._judged = found, text
                self.editor.mark(found)
                self.show()

        self.app.in_background(lambda: problems(text, path), judged)

    # What is shown.

    def _show_soon(self) -> None:
        """Draw once for all that a key changes: it moves the cursor as well."""
        if not self._will_show:
            self._will_show = True
            self.call_next(self.show)

    def show(self) -> None:
        """Draw title and panel anew."""
        self._will_show = False
        if self.file is None:
            return
        state = ("● not saved", "bold $warning") if self.changed else ("saved", "$muted")
        if self.file.shipped and not self.changed:
            state = ("comes with hftune: changes become a file of yours", "$muted")
        name = self.file.path.name
        room = self.size.width or 76
        right = KEYS if room > columns_of(name) + columns_of(state[0]) + columns_of(KEYS) + 6 else ""
        title = spread([(name, "bold"), "  ", state], [(right, "$muted")], room)
        self.query_one("#editing-title", Words).say(title)
        self.query_one("#editing-panel", Words).say(self._panel(max(20, room - 2)))

    def _panel(self, columns: int) -> Content:
        if self.editor.candidates:
            return self._offered(columns)
        row, column = self.editor.cursor_location
        hint = hint_at(self.editor.document.lines, row, column, self.editor.text)
        last = [line((clip(sanitize(hint), columns), "$muted"))] if hint else []
        if self.problems is None or (self._judged != self.editor.text and not self.problems):
            return Content("\n").join([line(("… is judged", "$muted")), *last])
        if not self.problems:
            return Content("\n").join([line(("✓ ", "$success"), "no problems"), *last])
        shown = self.problems[: SHOWN - 1]
        lines = [line(("✗ ", "bold $error"), clip(sanitize(said(one)), columns - 2)) for one in shown]
        more = len(self.problems) - len(shown)
        if more:
            lines.append(line((f"  and {more} more: F8 goes to the next", "$muted")))
        return Content("\n").join([*lines, *last])

    def _offered(self, columns: int) -> Content:
        found, chosen = self.editor.candidates, self.editor.chosen
        first = max(0, min(chosen - SHOWN // 2, len(found) - SHOWN))
        shown = found[first : first + SHOWN]
        width = min(36, max(columns_of(sanitize(one.text)) for one in shown))
        lines = []
        for number, one in enumerate(shown, first):
            text = f"{'▸' if number == chosen else ' '} {pad(sanitize(one.text), width)}  {sanitize(one.help)}"
            lines.append(plain(clip(text, columns), "bold $primary" if number == chosen else ""))
        keys = f"{chosen + 1} of {len(found)} · Tab or Enter takes it · ↑ ↓ others · Esc none"
        return Content("\n").join([*lines, line((keys, "$muted"))])

    @on(RecipeEditor.OfferChanged)
    def _offer_changed(self, event: RecipeEditor.OfferChanged) -> None:
        event.stop()
        self.show()

    @on(RecipeEditor.NothingOffered)
    def _nothing_offered(self, event: RecipeEditor.NothingOffered) -> None:
        event.stop()
        self.place.cannot("nothing can be completed here")

    def look_at_disk(self) -> None:
        """Take in what another program wrote to the file; what is changed here stays, and is said so."""
        if self.file is None or (now := self.file.on_disk()) == self._disk:
            return
        self._disk = now
        name = self.file.path.name
        if now == "gone":
            self.place.say(f"{name} is gone from disk; ctrl+s writes it again", "warning")
        elif now == "changed" and self.changed:
            self.place.say(f"{name} was changed on disk meanwhile; ctrl+s asks before it replaces that", "warning")
        elif now == "changed":
            self.reload()

    def reload(self) -> None:
        """Read the file anew, the cursor where it was."""
        from ..recipe_file import open_recipe

        assert self.file is not None
        try:
            file = open_recipe(self.file.path)
        except HftuneError as error:
            self.place.fail(error)
            return
        cursor = self.editor.cursor_location
        self.load(file)
        self.editor.move_cursor(cursor)
        self.place.say(f"{file.path.name} was changed on disk, and read anew")

    # What can be done.

    @on(RecipeEditor.Left)
    def _left(self, event: RecipeEditor.Left) -> None:
        event.stop()
        self.close()

    def close(self) -> None:
        """Back to the list; what is not saved is asked about."""
        if not self.changed:
            self._close()
            return
        assert self.file is not None
        title = f"{self.file.path.name} has changes that are not saved"

        def answered(answer: str | None) -> None:
            if answer == "save":
                self.action_save(then=self._close)
            elif answer == "drop":
                self._close()

        self.app.push_screen(Choose(title, "", leaving_entries(self.file.shipped)), answered)

    def _close(self) -> None:
        self.file = None
        self.editor.load_text("")
        self.post_message(self.Closed())

    def action_save(self, then: Callable[[], None] = lambda: None) -> None:
        if self.file is None:
            return
        if self.file.shipped:
            self._ask_name(own_name(self.file.path), "", then)
        elif not self.changed and self.file.on_disk() == "same":
            self.place.say("nothing was changed")
        elif self.file.on_disk() == "changed":
            question = f"{self.file.path.name} was changed on disk since it was read.\nReplace what is there now?"
            self.app.ask_confirm(question, "Replace it", lambda: self._write(then))
        else:
            self._write(then)

    def _write(self, then: Callable[[], None]) -> None:
        assert self.file is not None
        try:
            self._saved(save(self.file, self.editor.text), then)
        except HftuneError as error:
            self.place.fail(error)

    def _ask_name(self, name: str, why: str, then: Callable[[], None]) -> None:
        def named(answer: str | None) -> None:
            if answer is None:
                return
            try:
                self._saved(save_as(answer, self.editor.text), then)
            except HftuneError as error:
                self._ask_name(answer, str(error), then)

        self.app.push_screen(AskName("Save the recipe as", name, why), named)

    def _saved(self, file: RecipeFile, then: Callable[[], None]) -> None:
        self.file, self._disk = file, "same"
        self.editor.folder = base_of(file.path)
        self.place.say(f"saved {file.path}")
        self.judge()
        self.show()
        self.post_message(self.Saved())
        then()

    def action_launch(self) -> None:
        """Train what stands in the editor, saved or not: the run keeps its own copy of the recipe."""
        if self.file is None or not self._may_train():
            return
        if not self.changed:
            self.app.execute(f"/run {shlex.quote(str(self.file.path))}")
            return
        from .. import jobs

        text, path, runs_dir = self.editor.text, self.file.path, self.app.runs_dir
        self.place.say("starting it as it stands here; the changes are not saved in a file…")

        def begun(run: Path) -> None:
            self.app.store.look_soon()
            self.app.go("watch", run=run)

        self.app.in_background(lambda: jobs.start_text(text, path, runs_dir), begun)

    def _may_train(self) -> bool:
        """Tell whether nothing is known to be wrong; say what is."""
        if self.problems and self._judged == self.editor.text:
            self.place.cannot(f"{many(len(self.problems), 'problem')} first: {said(self.problems[0])}")
            return False
        return True

    def action_estimate(self) -> None:
        if self.file is not None and self._may_train():
            estimate(self.place, self.editor.text, self.file.path, self.action_launch)

    def action_help(self) -> None:
        row, column = self.editor.cursor_location
        self.app.push_screen(Reading("Help", help_at(self.editor.text, row, column)))

    def action_form(self, then: Callable[[], None] = lambda: None) -> None:
        try:
            form = ShortForm(self.editor.text)
        except HftuneError as error:
            self.place.fail(error)
            return

        def taken(text: str | None) -> None:
            if text is not None and text != self.editor.text:
                self.editor.replace(text, (0, 0), self.editor.document.end)
                self.editor.move_cursor((0, 0))
                then()

        self.app.push_screen(form, taken)

    def action_next_problem(self) -> None:
        lines = self.editor.document.lines
        places = sorted(
            (one.line - 1, word_end(lines[one.line - 1], max(0, one.column - 1)))
            for one in self.problems or ()
            if 0 < one.line <= len(lines)
        )
        if not places:
            self.place.say("no problem has a place in the text" if self.problems else "no problems")
            return
        here = self.editor.cursor_location
        self.editor.move_cursor(next((one for one in places if one > here), places[0]))


def estimate(place: Place, text: str, path: Path, launch: Callable[[], None]) -> None:
    """Measure what a recipe would cost and show it; `launch` is called when that is wanted then."""
    from ..estimating import Estimating

    app = place.app
    place.say("starting hftune check…")

    def begun(estimating: Estimating) -> None:
        place.say("")
        app.push_screen(EstimateScreen(path.stem, estimating), lambda answer: launch() if answer == "launch" else None)

    app.in_background(lambda: Estimating(text, path, app.runs_dir), begun)
